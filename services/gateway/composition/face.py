"""The public face over a pipeline: REST, gRPC, the admin routes."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI

from libs.clock import Clock
from libs.rpc.api import Handler
from libs.telemetry.metrics import Registry
from services.gateway.api.accounts.desk import Desk
from services.gateway.api.accounts.routes import add_account_routes
from services.gateway.api.admin import admin_app
from services.gateway.api.chat_route import ChatRoute, ChatRouteLimits
from services.gateway.api.grpc_accounts import GrpcAccounts
from services.gateway.api.grpc_chat import GrpcChat
from services.gateway.api.litellm.request_log import RecordLog
from services.gateway.api.litellm.routes import add_litellm_routes
from services.gateway.api.litellm.spend import RequestLog
from services.gateway.api.ports import Authenticator, KeyedPipeline, Pipeline
from services.gateway.api.requests import add_request_routes
from services.gateway.api.rest import Rest
from services.gateway.api.streamed import StreamTimes
from services.gateway.api.watch import Watch
from services.gateway.metrics import RestMetrics
from services.gateway.settings import GatewaySettings
from services.gateway.usecases.records.reader import RecordReader
from services.gateway.wire.limits import Limits
from services.gateway.wire.openai_chat_decode import ChatDecoder


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
    # Beyond the pipeline: the ledger has begun to take holds.
    ready: Callable[[], bool] = lambda: True


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
    created = int(clock.unix())
    admin = admin_app(
        pipeline, door, ports.registry, created=created, version=version(), extend=extend, ready=ports.ready
    )
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
