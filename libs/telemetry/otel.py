"""Real spans: OpenTelemetry's SDK, sent in batches over OTLP/gRPC. Imported only when tracing is on."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import Any, Self

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from libs.errors import PlatformError
from libs.settings import TraceSettings
from libs.telemetry import names
from libs.telemetry.tracing import Attributes, Kind, Span

_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
}
_W3C = TraceContextTextMapPropagator()


class OtelSpan(Span):
    """A span of the SDK."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._token: Token[Context] | None = None

    def set(self, attributes: Attributes) -> None:
        """See Span."""
        self._span.set_attributes(dict(attributes))

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        """See Span."""
        self._span.add_event(name, dict(attributes or {}))

    def fail(self, error: BaseException) -> None:
        """See Span."""
        kind = error.reason.value if isinstance(error, PlatformError) else type(error).__name__
        self._span.set_attribute(names.ERROR_TYPE, kind)
        self._span.set_status(Status(StatusCode.ERROR, kind))

    def carry(self) -> dict[str, str]:
        """See Span."""
        return _carried(trace.set_span_in_context(self._span))

    def end(self) -> None:
        """See Span."""
        if self._span.is_recording():
            self._span.end()

    def __enter__(self) -> Self:
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self.fail(error)
        if self._token is not None:
            context.detach(self._token)
            self._token = None
        self.end()


def _carried(where: Context | None = None) -> dict[str, str]:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, where)
    return carrier


class OtelBackend:
    """Implements `libs.telemetry.tracing.Backend`. `close` sends what is left, for a few seconds at most."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("headrace")

    def start(self, name: str, kind: Kind, parent: Mapping[str, str] | None, attributes: Attributes | None) -> Span:
        """See Backend."""
        where = _W3C.extract(parent, Context()) if parent is not None else None
        known: Any = attributes
        return OtelSpan(self._tracer.start_span(name, where, _KINDS[kind], known))

    def carry(self) -> dict[str, str]:
        """See Backend."""
        return _carried()

    def ids(self) -> tuple[str, str] | None:
        """See Backend."""
        found = trace.get_current_span().get_span_context()
        return (f"{found.trace_id:032x}", f"{found.span_id:016x}") if found.is_valid else None

    def close(self) -> None:
        """Flushes and stops; may block for the exporter's timeout."""
        self._provider.shutdown()


def otel_backend(
    settings: TraceSettings, service: str, instance: str, exporter: SpanExporter | None = None
) -> OtelBackend:
    """A backend that exports to `settings.otlp_endpoint`, or to `exporter` in tests."""
    resource = Resource.create({"service.name": service, "service.instance.id": instance})
    provider = TracerProvider(
        resource=resource, sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)), shutdown_on_exit=False
    )
    endpoint = settings.otlp_endpoint
    exporter = exporter or OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"), timeout=3)
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=settings.queue_spans_max, schedule_delay_millis=1000)
    )
    return OtelBackend(provider)
