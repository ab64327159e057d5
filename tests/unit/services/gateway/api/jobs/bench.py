"""The gateway's real routes on a real port, with the real jobs service behind them, and everything else in memory."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import httpx
import openai

from libs.clock import SystemClock
from libs.telemetry.metrics import Registry
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run_real
from services.gateway.adapters.jobs import RpcJobs
from services.gateway.api.connection import ConnectionLimits
from services.gateway.api.server import RestServer
from services.gateway.api.testing import ScriptedPipeline
from services.gateway.composition.face import Ports, compose
from services.gateway.domain.accounts.records import Role
from services.gateway.domain.auth import refusal
from services.gateway.domain.turns import Principal
from services.gateway.settings import GatewaySettings
from services.jobs.usecases.watch import WatchTimes
from tests.unit.services.jobs.accept_rig import Rig

CALLERS = {
    "ann": Principal("acme", "key-1", account_user="ann"),
    "bob": Principal("acme", "key-2", account_user="bob"),
    "boss": Principal("acme", "key-9", role=Role.TENANT_ADMIN),
    "stranger": Principal("other", "key-1", account_user="ann"),
}
# Real time, so that looks must be quick; nothing waits for a heartbeat that does not ask for it.
QUICK = WatchTimes(poll=0.01, poll_max=0.02)


class Door:
    """Keys are names of callers."""

    def known(self, presented):
        return CALLERS.get(presented)

    async def authenticate(self, presented):
        raise refusal(presented)


class Bench:
    def __init__(self, rig, gateway, base, channels):
        self.rig, self.gateway, self.base, self.channels = rig, gateway, base, channels
        self.http = self.client("ann")

    def client(self, name):
        headers = {"authorization": f"Bearer {name}"} if name else {}
        return httpx.AsyncClient(base_url=self.base, headers=headers, timeout=10, trust_env=False)

    def openai(self, name="ann"):
        return openai.AsyncOpenAI(base_url=f"{self.base}/v1", api_key=name, max_retries=0)

    async def raw(self, head, *pieces):
        """Bytes over a socket of one's own; (status, body) of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.base.rsplit(":", 1)[1]))
        try:
            writer.write(head)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
        finally:
            writer.close()


@asynccontextmanager
async def bench(*, replicas=1, settings=None, times=QUICK, file_settings=None, jobs=True):
    settings = settings or GatewaySettings()
    rig = Rig(times=times, clock=SystemClock(), file_settings=file_settings)
    channels = [
        InMemoryChannel(rig.server.handlers(), identity="gateway", address=f"jobs-{n}") for n in range(replicas)
    ]
    edge = RpcJobs(channels, rig.clock, lambda: 0.5) if jobs else None
    ports = Ports(ScriptedPipeline(), Door(), Registry(), rig.clock, jobs=edge, files=rig.files if jobs else None)
    gateway = compose(settings, ports)
    server = RestServer(gateway.rest, "127.0.0.1", 0, limits=ConnectionLimits())
    port = await server.start()
    made = Bench(rig, gateway, f"http://127.0.0.1:{port}", channels)
    try:
        yield made
    finally:
        await made.http.aclose()
        await server.drain(1.0)
        for channel in channels:
            await channel.close()
        await asyncio.sleep(0)


def with_bench(use, **options):
    async def scenario():
        async with bench(**options) as made:
            return await use(made)

    return run_real(scenario())
