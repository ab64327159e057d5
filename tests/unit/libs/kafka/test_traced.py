import pytest
from headrace.events.v1.jobs_pb2 import JobRequested
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from libs.kafka.events import event_record
from libs.kafka.handling import Delivery, PoisonError
from libs.kafka.traced import TracedHandler
from libs.settings import TraceSettings
from libs.telemetry import tracer
from libs.telemetry.otel import otel_backend
from libs.testing.loop import run


@pytest.fixture
def finished():
    """Switches tracing on; calling it switches off and returns the spans by name."""
    exporter = InMemorySpanExporter()
    backend = otel_backend(TraceSettings(), "headrace-demo", "demo-0", exporter)
    tracer.use(backend)

    def stop():
        tracer.use(None)
        backend.close()
        return {span.name: span for span in exporter.get_finished_spans()}

    yield stop
    tracer.use(None)
    backend.close()


class Handled:
    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.messages = error, []

    async def handle(self, message):
        self.messages.append(message)
        if self.error:
            raise self.error


def event() -> Delivery:
    value = JobRequested(tenant="t1", part=JobRequested.Part(job="job_1"))
    made = event_record(topic="t", key=b"k", value=value, source="x", id="e1", time=1.0)
    return Delivery("t", 2, 7, made.key, made.value, dict(made.headers), 0, 3)


def test_the_trace_goes_on_in_the_handler(finished):
    with tracer.span("produce"):
        message = event()
    run(TracedHandler(Handled()).handle(message))
    spans = finished()
    handled = spans["t process"]
    assert handled.parent.span_id == spans["produce"].context.span_id
    assert handled.kind is SpanKind.CONSUMER
    assert dict(handled.attributes) == {
        "messaging.system": "kafka",
        "messaging.destination.name": "t",
        "messaging.destination.partition.id": "2",
        "messaging.kafka.offset": 7,
        "headrace.message.attempt": 3,
    }


def test_a_message_without_a_trace_begins_one(finished):
    message = event()
    with tracer.span("elsewhere"):
        run(TracedHandler(Handled()).handle(message))
    assert finished()["t process"].parent is None


@pytest.mark.parametrize("header", [b"\xff\xfe", b"", None, b"00-zz-zz-01"])
def test_a_broken_trace_stops_nothing(finished, header):
    message = event()
    message.headers["traceparent"] = header
    handler = Handled()
    run(TracedHandler(handler).handle(message))
    assert handler.messages == [message]
    assert finished()["t process"].parent is None


def test_errors_pass_and_are_told(finished):
    with pytest.raises(PoisonError):
        run(TracedHandler(Handled(PoisonError("a prompt"))).handle(event()))
    span = finished()["t process"]
    assert span.attributes["error.type"] == "PoisonError"
    assert "a prompt" not in span.to_json()


def test_off_it_only_passes_on():
    handler, message = Handled(), event()
    assert "traceparent" not in message.headers
    run(TracedHandler(handler).handle(message))
    assert handler.messages == [message]
