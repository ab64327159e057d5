"""The gateway's composition root."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from libs.app import App, run_service
from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from libs.settings import load
from libs.telemetry import get_logger
from libs.valkey import Valkey
from services.gateway.adapters.assembly import OpenPipeline, open_pipeline
from services.gateway.adapters.call_metrics import CallMetrics
from services.gateway.adapters.keys import install_secret
from services.gateway.adapters.ledger.assembly import LedgerParts
from services.gateway.adapters.ledger.spend import ValkeySpend
from services.gateway.adapters.quarantine import ValkeySuspects
from services.gateway.adapters.records.assembly import RecordParts
from services.gateway.adapters.sessions import ValkeyOwners
from services.gateway.api.accounts.desk import desk_over
from services.gateway.api.connection import ConnectionLimits
from services.gateway.api.server import RestServer
from services.gateway.composition.accounts import keep_ledger, make_ledger, open_accounts, open_records
from services.gateway.composition.face import Gateway, Ports, compose
from services.gateway.composition.jobs import open_jobs
from services.gateway.composition.pipeline import open_keyed, open_stand_ins, pipeline_options
from services.gateway.composition.work import WorkPorts, open_work
from services.gateway.ports import Observer
from services.gateway.settings import GatewaySettings
from services.gateway.usecases.records.recorder import RecordedPipeline

_log = get_logger("gateway")


async def build(settings: GatewaySettings, stack: AsyncExitStack, app: App) -> None:
    """Opens the adapters, then the ports."""
    valkey = Valkey(settings.valkey, app.clock)
    stack.push_async_callback(valkey.close)
    await valkey.ready()
    secret = install_secret(settings.keys_path, settings.pepper_path)
    accounts = await open_accounts(settings, valkey, secret, app)
    records = open_records(settings, accounts, stack, app)
    money = make_ledger(settings, valkey, accounts.prices, app)
    opened = await _open_pipeline(settings, valkey, secret, money, records, stack, app)
    pipeline = RecordedPipeline(opened.chat, records.recorder)
    keep_ledger(settings, money, opened.sent, stack, app)
    desk = desk_over(accounts.accounts, ValkeySpend(valkey), app.clock)
    keyed = open_keyed(settings, valkey, pipeline, lambda: money.keeper.lives.open, stack, app)
    door, registry, lives = accounts.authenticator, app.telemetry.registry, money.keeper.lives
    jobs, files = open_jobs(settings, stack, app)
    ports = Ports(
        pipeline, door, registry, app.clock, desk, keyed, records.reader, jobs, files, ready=lambda: lives.begun
    )
    gateway = compose(settings, ports)
    app.spawn(gateway.watch.run(), "watch")
    if gateway.news is not None:
        app.on_stop_accepting(gateway.news.close)
    await _open_rest(settings, gateway, stack, app)
    await _open_grpc(settings, gateway, app)
    await open_work(settings, WorkPorts(valkey, accounts, money, opened, pipeline), stack, app)


async def _open_pipeline(
    settings: GatewaySettings,
    valkey: Valkey,
    secret: bytes,
    money: LedgerParts,
    records: RecordParts,
    stack: AsyncExitStack,
    app: App,
) -> OpenPipeline:
    owners = ValkeyOwners(valkey, settings.sessions.ttl_seconds)
    telemetry = app.telemetry
    options = replace(pipeline_options(settings, secret), trunks=telemetry.trunks, registry=telemetry.registry)
    watching: list[Observer] = [CallMetrics(telemetry.registry), records.recorder]
    stand_ins = open_stand_ins(settings, valkey, secret, stack, app)
    suspects = ValkeySuspects(valkey, settings.breakers.quarantine_seconds)
    return await open_pipeline(
        stack, options, owners, money.charges, app.clock,
        observers=watching, suspects=suspects, stand_ins=stand_ins,
    )  # fmt: skip


async def _open_rest(settings: GatewaySettings, gateway: Gateway, stack: AsyncExitStack, app: App) -> None:
    rest = settings.rest
    limits = ConnectionLimits(rest.write_buffer_bytes, rest.connections_max, rest.header_timeout_seconds)
    server = RestServer(gateway.rest, rest.host, rest.port, limits=limits)
    port = await server.start()
    stack.push_async_callback(server.drain, 0.0)
    app.on_drain(server.drain)
    _log.info("REST", address=f"http://{rest.host}:{port}/v1")


async def _open_grpc(settings: GatewaySettings, gateway: Gateway, app: App) -> None:
    grpc = RpcServerSettings(**settings.grpc.model_dump())
    server = RpcServer("gateway", gateway.handlers, grpc, clock=app.clock, hooks=app.telemetry.hooks)
    app.serve(server)
    _log.info("gRPC", address=f"{grpc.host}:{await server.start()}")


def main() -> None:
    """`python -m services.gateway.main`."""
    settings = load(GatewaySettings)
    run_service("gateway", settings, partial(build, settings), instance=settings.name)


if __name__ == "__main__":
    main()
