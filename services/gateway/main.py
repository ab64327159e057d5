"""The gateway's composition root."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

from fastapi import FastAPI

from libs.app import App, run_service
from libs.clock import Clock
from libs.ids import boot_id
from libs.kafka import TopicSpec
from libs.rpc.api import Handler
from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from libs.settings import load
from libs.telemetry import get_logger
from libs.telemetry.metrics import Registry
from libs.valkey import Valkey
from services.gateway.adapters.accounts.assembly import AccountOptions, AccountParts, account_parts
from services.gateway.adapters.assembly import PipelineOptions, open_pipeline
from services.gateway.adapters.call_metrics import CallMetrics
from services.gateway.adapters.idempotency import AnswerLimits, ValkeyAnswers
from services.gateway.adapters.keyed_metrics import KeyedMetrics
from services.gateway.adapters.keys import install_secret
from services.gateway.adapters.ledger.assembly import LedgerParts, ledger_parts
from services.gateway.adapters.ledger.spend import ValkeySpend
from services.gateway.adapters.ledger.store import LeaseTimes
from services.gateway.adapters.placements import PlacementLimits
from services.gateway.adapters.records.assembly import RecordOptions, RecordParts, record_parts
from services.gateway.adapters.relay_assembly import RelayOptions, open_relay
from services.gateway.adapters.sessions import ValkeyOwners
from services.gateway.api.accounts.desk import Desk, desk_over
from services.gateway.api.accounts.routes import add_account_routes
from services.gateway.api.admin import admin_app
from services.gateway.api.chat_route import ChatRoute, ChatRouteLimits
from services.gateway.api.connection import ConnectionLimits
from services.gateway.api.grpc_accounts import GrpcAccounts
from services.gateway.api.grpc_chat import GrpcChat
from services.gateway.api.litellm.request_log import RecordLog
from services.gateway.api.litellm.routes import add_litellm_routes
from services.gateway.api.litellm.spend import RequestLog
from services.gateway.api.ports import Authenticator, KeyedPipeline, Pipeline
from services.gateway.api.requests import add_request_routes
from services.gateway.api.rest import Rest
from services.gateway.api.server import RestServer
from services.gateway.api.streamed import StreamTimes
from services.gateway.api.watch import Watch
from services.gateway.domain.fair_queue import QueueBounds
from services.gateway.metrics import RestMetrics
from services.gateway.ports import Observer, PriceBook
from services.gateway.settings import GatewaySettings
from services.gateway.usecases.accounts.authenticator import AuthLimits
from services.gateway.usecases.answer_log import LogTimes
from services.gateway.usecases.idempotent import KeyedChat
from services.gateway.usecases.ledger.keeper import KeeperLimits
from services.gateway.usecases.maker import Chat, MakerMeans
from services.gateway.usecases.prepare import PrepareLimits
from services.gateway.usecases.records.reader import RecordReader
from services.gateway.usecases.records.recorder import RecordedPipeline, RecorderLimits
from services.gateway.usecases.sessions import SessionLimits
from services.gateway.usecases.waiting import WaitLimits
from services.gateway.wire.limits import Limits
from services.gateway.wire.openai_chat_decode import ChatDecoder

_log = get_logger("gateway")


@dataclass(frozen=True)
class Ports:
    """What life and tests give differently."""

    pipeline: Pipeline
    authenticator: Authenticator
    registry: Registry
    clock: Clock
    desk: Desk | None = None
    keyed: KeyedPipeline | None = None
    records: RecordReader | None = None


@dataclass(frozen=True)
class Gateway:
    """The service without its ports."""

    rest: Rest
    handlers: Sequence[Handler]
    watch: Watch


def compose(settings: GatewaySettings, ports: Ports) -> Gateway:
    """The public face over a pipeline."""
    pipeline, door, clock = ports.pipeline, ports.authenticator, ports.clock
    limits, rest = settings.limits, settings.rest
    bounds = Limits(limits.messages_max, limits.max_tokens_max, limits.n_max, limits.tools_max, limits.stop_max)
    times = StreamTimes(rest.header_hold_seconds, rest.ping_seconds, rest.write_stall_seconds)
    watch = Watch(clock)
    metrics = RestMetrics(ports.registry, lambda: len(watch))
    route_limits = ChatRouteLimits(rest.body_bytes_max, rest.body_timeout_seconds, limits.timeout_seconds, times)
    decoder, keyed = ChatDecoder(bounds), ports.keyed
    chat = ChatRoute(pipeline, door, decoder, clock, watch, metrics, route_limits, keyed=keyed)
    log = None if ports.records is None else RecordLog(ports.records, clock)
    extend = [] if ports.desk is None else account_routes(ports.desk, door, log)
    if ports.records is not None:
        extend.append(partial(add_request_routes, reader=ports.records, door=door, clock=clock))
    admin = admin_app(pipeline, door, ports.registry, created=int(clock.unix()), version=version(), extend=extend)
    grpc = GrpcChat(pipeline, door, clock, metrics, bounds, limits.timeout_seconds, keyed=keyed)
    accounts = [] if ports.desk is None else GrpcAccounts(ports.desk, door, clock, metrics).handlers()
    return Gateway(Rest(chat, admin, metrics, clock), [grpc.handler(), *accounts], watch)


def account_routes(desk: Desk, door: Authenticator, log: RequestLog | None) -> list[Callable[[FastAPI], None]]:
    """Our own admin routes, and those of LiteLLM's that scripts call."""
    litellm = partial(add_litellm_routes, desk=desk, door=door, log=log)
    return [partial(add_account_routes, desk=desk, door=door), litellm]


def version() -> str:
    """The installed version, "0" in a bare checkout."""
    try:
        return importlib.metadata.version("headrace")
    except importlib.metadata.PackageNotFoundError:
        return "0"


async def _accounts(settings: GatewaySettings, valkey: Valkey, pepper: bytes, app: App) -> AccountParts:
    """Keys are imported before the first call where the store is there, else as soon as it is."""
    limits = AuthLimits(known_max=settings.accounts.keys_cached_max)
    options = AccountOptions(
        keys_file=settings.keys_path,
        pepper=pepper,
        anonymous=settings.anonymous,
        poll_seconds=settings.keys_poll_seconds,
        stale_seconds=settings.accounts.stale_seconds,
        limits=limits,
        prices=settings.price_list(),
    )
    parts = account_parts(valkey, app.clock, options)
    if settings.anonymous:
        _log.warning("anonymous callers are served", why="the setting `anonymous` is on")
    await parts.follower.look()
    app.spawn(parts.follower.run(), "accounts")
    return parts


def _ledger(settings: GatewaySettings, valkey: Valkey, prices: PriceBook, app: App) -> LedgerParts:
    ledger = settings.ledger
    times = LeaseTimes(ledger.lease_seconds, ledger.grace_seconds)
    limits = KeeperLimits(ledger.lease_seconds, ledger.sure_seconds, ledger.barrier_seconds, grace=ledger.grace_seconds)
    name = f"{settings.name or 'gateway'}-{boot_id()}"
    return ledger_parts(valkey, prices, app.clock, app.telemetry.registry, name, times, limits)


def _relay(settings: GatewaySettings, money: LedgerParts, stack: AsyncExitStack, app: App) -> None:
    if not settings.kafka.brokers:
        _log.info("usage is not published", why="kafka.brokers is empty", where="it stays in the store's outbox")
        return
    outbox = settings.outbox
    topic = TopicSpec(outbox.topic, outbox.partitions, outbox.replication)
    holder = f"{settings.name or 'gateway'}-{boot_id()}"
    options = RelayOptions(settings.kafka, topic, holder, outbox.idle_seconds_max, outbox.entries_max)
    relay = open_relay(stack, options, money.outbox, app.clock, app.telemetry.registry)
    app.spawn(relay.run(), "outbox-relay")


def _records(settings: GatewaySettings, accounts: AccountParts, stack: AsyncExitStack, app: App) -> RecordParts:
    """They have a connection of their own: a batch of them is not to delay what calls ask of the store."""
    valkey = Valkey(settings.valkey, app.clock)
    stack.push_async_callback(valkey.close)
    keep = settings.records
    limits = RecorderLimits(
        records_max=keep.waiting_max,
        text_bytes_max=keep.waiting_bytes_max,
        batch_records=keep.batch_records,
        batch_bytes=keep.batch_bytes,
        text_characters_max=keep.text_characters_max,
    )
    options = RecordOptions(
        name=boot_id(),
        directory=settings.blobs_path,
        fsync=keep.fsync,
        flush_seconds=keep.flush_seconds,
        purge_seconds=keep.purge_seconds,
        redact_addresses=keep.redact_addresses,
        limits=limits,
    )
    parts = record_parts(valkey, accounts.store, app.clock, app.telemetry.registry, options)
    app.spawn(parts.purge(), "record-retention")
    parts.writer.start()
    # Before the store's connection is closed, and when the last call has ended.
    stack.push_async_callback(parts.writer.close, settings.drain.close_seconds / 4)
    return parts


def _options(settings: GatewaySettings, secret: bytes) -> PipelineOptions:
    sessions = settings.sessions
    return PipelineOptions(
        router_address=settings.router.address,
        router_transport=settings.router.transport,
        worker_transport=settings.inference.transport,
        token=settings.internal_token(),
        secret=secret,
        tokenizer_dir=settings.state_dir / "tokenizers",
        sessions=SessionLimits(sessions.cached_max, sessions.fresh_seconds, float(sessions.ttl_seconds)),
        placements=PlacementLimits(sessions.placement_seconds, sessions.cached_max),
        prepare=PrepareLimits(settings.limits.default_answer_tokens_max),
        waiting=_wait_limits(settings),
    )


def _wait_limits(settings: GatewaySettings) -> WaitLimits:
    queue = settings.queue
    bounds = QueueBounds(queue.waiting_max, queue.tenant_max, queue.ageing_seconds)
    return WaitLimits(queue.wait_seconds_max, queue.retry_seconds, bounds)


def _keyed(settings: GatewaySettings, valkey: Valkey, chat: Chat, stack: AsyncExitStack, app: App) -> KeyedChat:
    """Answers are finished within the drain's grace, whether their clients are there or not."""
    keep = settings.idempotency
    answers = ValkeyAnswers(valkey, AnswerLimits(keep.lease_seconds, keep.keep_seconds, keep.answer_bytes_max))
    times = LogTimes(lease=keep.lease_seconds, poll=keep.poll_seconds)
    metrics = KeyedMetrics(app.telemetry.registry)
    keyed = KeyedChat(MakerMeans(chat, answers, app.clock, times), count=metrics.claimed)
    metrics.read_from(lambda: len(keyed))
    stack.push_async_callback(keyed.close)
    app.on_drain(keyed.drain)
    return keyed


async def build(settings: GatewaySettings, stack: AsyncExitStack, app: App) -> None:
    """Opens the adapters, then both ports."""
    valkey = Valkey(settings.valkey, app.clock)
    stack.push_async_callback(valkey.close)
    await valkey.ready()
    owners = ValkeyOwners(valkey, settings.sessions.ttl_seconds)
    secret = install_secret(settings.keys_path, settings.pepper_path)
    accounts = await _accounts(settings, valkey, secret, app)
    records = _records(settings, accounts, stack, app)
    watching: list[Observer] = [CallMetrics(app.telemetry.registry), records.recorder]
    options = replace(_options(settings, secret), trunks=app.telemetry.trunks, registry=app.telemetry.registry)
    money = _ledger(settings, valkey, accounts.prices, app)
    opened = await open_pipeline(stack, options, owners, money.charges, app.clock, observers=watching)
    pipeline = RecordedPipeline(opened.chat, records.recorder)
    stack.push_async_callback(money.keeper.close, settings.drain.close_seconds / 2)
    app.spawn(money.keeper.run(), "ledger-keeper")
    app.spawn(money.keeper.lives.follow(), "ledger-lives")
    app.spawn(money.sweeper(opened.sent).run(), "ledger-sweeper")
    _relay(settings, money, stack, app)
    desk = desk_over(accounts.accounts, ValkeySpend(valkey), app.clock)
    keyed = _keyed(settings, valkey, pipeline, stack, app)
    ports = Ports(pipeline, accounts.authenticator, app.telemetry.registry, app.clock, desk, keyed, records.reader)
    gateway = compose(settings, ports)
    app.spawn(gateway.watch.run(), "watch")
    await _open_rest(settings, gateway, stack, app)
    await _open_grpc(settings, gateway, app)


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
