"""Gateways that do jobs' work over one real store, with scripted workers; asked as the jobs service asks them."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

from headrace.gateway.v1 import work_pb2 as pb

from libs.clock import SystemClock
from libs.errors import PlatformError, Reason
from libs.telemetry.metrics import Registry
from libs.testing.inmem import InMemoryChannel
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.gateway.adapters.accounts.valkey import ValkeyAccounts
from services.gateway.adapters.assembly import OpenPipeline
from services.gateway.adapters.ledger.assembly import ledger_parts
from services.gateway.adapters.ledger.outbox import ValkeyOutbox
from services.gateway.adapters.ledger.replay import LedgerReplay
from services.gateway.adapters.ledger.store import LeaseTimes
from services.gateway.api.grpc_work import ABANDON, PERFORM, RELEASE, RESERVE
from services.gateway.composition.work import WorkPorts, compose_work
from services.gateway.domain.accounts.records import Budget, Change, Key, Kind, Limits, Tenant, User
from services.gateway.domain.ledger.totals import LogTotals, differences
from services.gateway.settings import GatewaySettings
from services.gateway.usecases.accounts.holders import KeyHolders
from services.gateway.usecases.ledger.keeper import KeeperLimits
from services.gateway.usecases.ledger.testing import OnePrice
from tests.unit.services.gateway.usecases.world import Worker, World

LIMIT_SECONDS = 30.0
# Of an answer's owner, and of a hold.
LEASE, HOLD_LEASE = 1.0, 4.0
PATH = "/v1/chat/completions"


def body(max_tokens=6, text="hello", **more):
    asked = {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": max_tokens, **more}
    return pb.Work(body=json.dumps(asked).encode(), path=PATH)


def price(prompt, cached, completion, share=1.0):
    """What OnePrice makes of it."""
    return round(share * (1000 * (prompt - cached) + 100 * cached + 2000 * completion))


@dataclass
class Heard:
    """What Perform said: how far it was, and the outcome."""

    tokens: list[int] = field(default_factory=list)
    outcome: pb.PerformResponse.Outcome | None = None

    @property
    def text(self):
        return json.loads(self.outcome.body)["choices"][0]["message"]["content"]

    @property
    def error(self):
        return json.loads(self.outcome.body)["error"]


class RealTime(World):
    """The world of the unit tests on the machine's clock, with a ledger in the store."""

    def __init__(self, workers, tmp_path, charges):
        super().__init__(workers, tmp_path)
        self.clock, self.charges = SystemClock(), charges


class Gateway:
    """One gateway; `kill` cuts its way to the store and breaks its calls off, as SIGKILL does."""

    def __init__(self, process, workers, tmp_path, name, settings):
        self.valkey = Valkey(process.settings(op_timeout_ms=1000))
        self.clock = SystemClock()
        leases = LeaseTimes(HOLD_LEASE, 1.0), KeeperLimits(HOLD_LEASE)
        self.money = ledger_parts(self.valkey, OnePrice(), self.clock, Registry(), name, *leases)
        self.world = RealTime(workers, tmp_path, self.money.charges)
        self.accounts = ValkeyAccounts(self.valkey)
        self.holders = KeyHolders(self.accounts, self.clock, 100)
        self.settings = settings
        self.drains = []
        self._killed = False

    async def open_on(self, stack):
        stack.push_async_callback(self.valkey.close)
        await self.valkey.ready()
        await stack.enter_async_context(self.world)
        self._tasks = [
            asyncio.create_task(work) for work in (self.money.keeper.run(), self.money.keeper.lives.follow())
        ]
        stack.push_async_callback(self.stop)
        self._inner = await stack.enter_async_context(AsyncExitStack())
        telemetry = SimpleNamespace(registry=Registry())
        app = SimpleNamespace(clock=self.clock, telemetry=telemetry, on_drain=self.drains.append)
        services = self.world.pipeline._services
        opened = OpenPipeline(self.world.pipeline, None, services.catalog, services.preparer)
        accounts = SimpleNamespace(holders=self.holders)
        ports = WorkPorts(self.valkey, accounts, self.money, opened, self.world.pipeline)
        self.work = compose_work(self.settings, ports, self._inner, app)
        self.channel = InMemoryChannel(self.work.handlers(), identity="jobs", clock=self.clock)
        while not self.money.keeper.lives.open:
            await asyncio.sleep(0.01)

    async def stop(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._killed:
            await self.money.keeper.close(2.0)

    async def kill(self):
        async def dead(*_):
            raise PlatformError(Reason.STORE_UNAVAILABLE, "cut", started=False)

        self._killed = True
        self.valkey.command = self.valkey.call = dead
        self.channel.lose()
        await self.stop()
        await self._inner.aclose()

    async def leave(self):
        """As SIGTERM whose grace is over."""
        await self._inner.aclose()

    async def reserve(self, reservation, *works, tenant="acme", key="key-1", batch=False):
        caller = pb.Caller(tenant=tenant, key_id=key)
        request = pb.ReserveRequest(reservation=reservation, caller=caller, requests=works, batch=batch)
        return await self.channel.call(RESERVE, request, timeout=LIMIT_SECONDS)

    async def release(self, *reservations):
        request = pb.ReleaseRequest(tenant="acme", reservations=reservations)
        return (await self.channel.call(RELEASE, request, timeout=LIMIT_SECONDS)).released_nanodollars

    async def abandon(self, reservation, key):
        request = pb.AbandonRequest(tenant="acme", reservation=reservation, key=key)
        await self.channel.call(ABANDON, request, timeout=LIMIT_SECONDS)

    def begin(self, reservation, work, key, *, timeout=LIMIT_SECONDS, **afterwards):
        request = pb.PerformRequest(reservation=reservation, tenant="acme", work=work, key=key, **afterwards)
        return self.channel.stream(PERFORM, request, timeout=timeout)

    async def perform(self, reservation, work, key, **more):
        heard = Heard()
        async for response in self.begin(reservation, work, key, **more):
            if response.HasField("outcome"):
                assert heard.outcome is None
                heard.outcome = response.outcome
            else:
                heard.tokens.append(response.completion_tokens)
        assert heard.outcome is not None
        return heard

    async def insist(self, reservation, work, key):
        """Performs again and again while workers are away or busy; what it heard at last."""
        heard = None

        async def answered():
            nonlocal heard
            try:
                heard = await self.perform(reservation, work, key)
            except PlatformError as error:
                if error.reason not in (Reason.NO_WORKER, Reason.OVERLOADED):
                    raise
                return False
            return True

        await until(answered)
        return heard

    async def totals(self, scope="t"):
        return (await LedgerReplay(self.valkey).dump("acme"))[scope]

    async def at_rest(self, *, held=0):
        """The tenant's totals once nothing runs. What the log says is what the ledger says."""

        async def rests():
            return not self.money.keeper._live and not self.money.keeper._ending and (await self.totals()).held == held

        await until(rests)
        totals, log = await LedgerReplay(self.valkey).dump("acme"), LogTotals()
        for entry in await ValkeyOutbox(self.valkey).read("acme", "", 1000):
            log.add(entry)
        assert differences("acme", totals, log) == []
        return totals["t"]

    async def events(self):
        """Charges, in order."""
        return [entry for entry in await ValkeyOutbox(self.valkey).read("acme", "", 1000) if entry.kind != "account"]

    async def change(self, before, after):
        record = after or before
        kind = {Tenant: Kind.TENANT, User: Kind.USER, Key: Kind.KEY}[type(record)]
        await self.accounts.change(
            Change(kind=kind, tenant="acme", id=record.id, actor="test", at=1.0, before=before, after=after)
        )
        self.holders.outdated()


TENANT = Tenant(id="acme")
KEY = Key(tenant="acme", id="key-1", hmac="h", user="ada")


def total(nanodollars):
    return Limits(budgets=(Budget(limit_nanodollars=nanodollars),))


@asynccontextmanager
async def gateways(tmp_path, count=1, *, pace=0.0, tenant=TENANT, key=KEY, work=None, worker=None):
    """So many gateways, and their one worker."""
    worker = worker or Worker("a")
    worker.pace = pace
    settings = GatewaySettings(
        idempotency={"lease_seconds": LEASE}, ledger={"lease_seconds": HOLD_LEASE}, work=work or {}
    )
    with ValkeyProcess() as process:
        async with AsyncExitStack() as stack:
            made = [Gateway(process, [worker], tmp_path / str(n), f"gateway-{n}", settings) for n in range(count)]
            for gateway in made:
                await gateway.open_on(stack)
            for record in (tenant, User(tenant="acme", id="ada"), key):
                await made[0].change(None, record)
            yield (*made, worker)


async def until(condition):
    end = time.monotonic() + LIMIT_SECONDS
    while not await condition():
        assert time.monotonic() < end, "it never came to it"
        await asyncio.sleep(0.02)
