"""The public face over a pipeline: REST, gRPC, the admin routes."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI

from libs.clock import Clock
from libs.files import FileStore
from libs.rpc.api import Handler
from libs.telemetry.metrics import Registry
from services.gateway.api.accounts.desk import Desk
from services.gateway.api.accounts.routes import add_account_routes
from services.gateway.api.admin import admin_app
from services.gateway.api.chat_route import ChatRoute, ChatRouteLimits
from services.gateway.api.grpc_accounts import GrpcAccounts
from services.gateway.api.grpc_chat import GrpcChat
from services.gateway.api.grpc_jobs import GrpcJobs
from services.gateway.api.jobs.asked import AskedTimes
from services.gateway.api.jobs.batch_routes import BatchDesk
from services.gateway.api.jobs.file_routes import FileDesk, UploadLimits
from services.gateway.api.jobs.job_routes import JobDesk, JobLimits
from services.gateway.api.jobs.news import NewsDesk
from services.gateway.api.jobs.routes import JobRoutes, Route
from services.gateway.api.litellm.request_log import RecordLog
from services.gateway.api.litellm.routes import add_litellm_routes
from services.gateway.api.litellm.spend import RequestLog
from services.gateway.api.ports import Authenticator, KeyedPipeline, Pipeline
from services.gateway.api.requests import add_request_routes
from services.gateway.api.rest import Rest
from services.gateway.api.streamed import StreamTimes
from services.gateway.api.watch import Watch
from services.gateway.metrics import RestMetrics
from services.gateway.ports.jobs import JobService
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
    # The jobs service and the files that it shares; both or none.
    jobs: JobService | None = None
    files: FileStore | None = None
    # Beyond the pipeline: the ledger has begun to take holds.
    ready: Callable[[], bool] = lambda: True


@dataclass(frozen=True)
class Gateway:
    """The service without its ports."""

    rest: Rest
    handlers: Sequence[Handler]
    watch: Watch
    # Closed when nothing more is accepted; None where there is no jobs service.
    news: NewsDesk | None = None


def compose(settings: GatewaySettings, ports: Ports) -> Gateway:
    """The public face over a pipeline."""
    pipeline, door, clock = ports.pipeline, ports.authenticator, ports.clock
    limits, rest = settings.limits, settings.rest
    bounds = bounds_of(settings)
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
    news = None if ports.jobs is None else NewsDesk(ports.jobs, clock, settings.jobs.streams_max)
    job_routes = _job_routes(settings, ports, news, metrics)
    grpc_jobs = GrpcJobs(ports.jobs, door, clock, metrics, _job_limits(settings))
    grpc = GrpcChat(pipeline, door, clock, metrics, bounds, limits.timeout_seconds, keyed=keyed)
    accounts = [] if ports.desk is None else GrpcAccounts(ports.desk, door, clock, metrics).handlers()
    rest_face = Rest(chat, admin, metrics, clock, jobs=job_routes)
    return Gateway(rest_face, [grpc.handler(), *grpc_jobs.handlers(), *accounts], watch, news)


def bounds_of(settings: GatewaySettings) -> Limits:
    """What one request may ask for, whoever makes it."""
    limits = settings.limits
    return Limits(limits.messages_max, limits.max_tokens_max, limits.n_max, limits.tools_max, limits.stop_max)


def _job_limits(settings: GatewaySettings) -> JobLimits:
    jobs = settings.jobs
    return JobLimits(
        jobs.body_bytes_max, jobs.submit_seconds, jobs.call_seconds, jobs.results_seconds, jobs.requests_max
    )


def _job_routes(settings: GatewaySettings, ports: Ports, news: NewsDesk | None, metrics: RestMetrics) -> JobRoutes:
    jobs, rest = settings.jobs, settings.rest
    times = AskedTimes(rest.body_timeout_seconds, rest.write_stall_seconds)
    routes: list[Route] = []
    if ports.jobs is not None and ports.files is not None and news is not None:
        limits = _job_limits(settings)
        # A form around the file takes some bytes too.
        uploads = UploadLimits(jobs.uploads_max, settings.files.bytes_max + 2**20, jobs.upload_seconds)
        routes = [*JobDesk(ports.jobs, limits).routes(), news.route(), *BatchDesk(ports.jobs, limits).routes()]
        routes += FileDesk(ports.files, uploads).routes()
    return JobRoutes(routes, ports.authenticator, ports.clock, metrics, times)


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
