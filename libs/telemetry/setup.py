"""Starts what the settings ask for."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple, TextIO

from libs.rpc.trunk.gauges import Trunks
from libs.settings import ServiceSettings
from libs.telemetry import names
from libs.telemetry.logs import start_logging, stop_logging
from libs.telemetry.metrics import NO_LABELS, NoLabels, Registry
from libs.telemetry.metrics_server import serve_metrics
from libs.telemetry.rpc import RpcTelemetry
from libs.telemetry.tracing import tracer
from libs.telemetry.trunks import watch_trunks


class ProcessLabels(NamedTuple):
    """What a process is."""

    service: str
    instance: str


@dataclass(frozen=True)
class Telemetry:
    """What a `main` hands on: `registry` to its metrics, `hooks` and `trunks` to its RpcServer and channels."""

    registry: Registry
    hooks: tuple[RpcTelemetry, ...]
    _close: Callable[[], None]
    trunks: Trunks = field(default_factory=Trunks)

    def close(self) -> None:
        """Flushes spans and log lines; may block for some seconds when the collector is away."""
        self._close()


def setup(settings: ServiceSettings, service: str, instance: str = "", *, stream: TextIO | None = None) -> Telemetry:
    """Starts logging, tracing and /metrics. `service` is "gateway", …; `instance` tells replicas apart.

    Raises PlatformError when the metrics port is taken.
    """
    instance = instance or f"{service}-{os.getpid()}"
    registry = Registry()
    with ExitStack() as stack:
        writer = start_logging(settings.log, service, instance, stream)
        stack.callback(stop_logging, writer)
        registry.gauge(names.METRIC_LOG_DROPPED, "Log lines lost to a full queue.", NoLabels).read_from(
            NO_LABELS, lambda: writer.dropped
        )
        registry.gauge(names.METRIC_BUILD, "1; the labels say what runs here.", ProcessLabels).set(
            ProcessLabels(service, instance), 1
        )
        trunks = Trunks()
        watch_trunks(registry, trunks)
        if settings.trace.otlp_endpoint:
            _start_tracing(settings, service, instance, stack)
        if settings.metrics.port:
            stack.callback(serve_metrics(registry, settings.metrics))
        opened = stack.pop_all()
    return Telemetry(registry, (RpcTelemetry(registry, access=settings.log.access),), opened.close, trunks)


def _start_tracing(settings: ServiceSettings, service: str, instance: str, stack: ExitStack) -> None:
    from libs.telemetry.otel import otel_backend  # the SDK costs 0.2 s of start-up: only for those who trace

    backend = otel_backend(settings.trace, f"headrace-{service}", instance)
    tracer.use(backend)
    stack.callback(backend.close)
    stack.callback(tracer.use, None)
