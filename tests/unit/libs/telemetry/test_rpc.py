import contextlib

import pytest
from headrace.inference.v1 import inference_pb2 as pb
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from libs.clock import SystemClock
from libs.errors import PlatformError, Reason
from libs.rpc.api import CallInfo, Handler
from libs.rpc.dial import dial
from libs.rpc.method import method
from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from libs.settings import TraceSettings
from libs.telemetry import inject, names, tracer
from libs.telemetry.metrics import Registry
from libs.telemetry.otel import otel_backend
from libs.telemetry.rpc import RpcTelemetry
from libs.testing.loop import run_real

TOKEN = "inside"
SERVICE = pb.DESCRIPTOR.services_by_name["InferenceService"]
COUNT = method(SERVICE, "Count", pb.CountRequest, pb.CountResponse)
DRAIN = method(SERVICE, "Drain", pb.DrainRequest, pb.DrainResponse)
GENERATE = method(SERVICE, "Generate", pb.GenerateRequest, pb.GenerateResponse)


@pytest.fixture
def spans():
    exporter = InMemorySpanExporter()
    backend = otel_backend(TraceSettings(), "headrace-demo", "demo-0", exporter)
    tracer.use(backend)
    yield lambda: backend.close() or {span.name.rsplit("/", 1)[-1]: span for span in exporter.get_finished_spans()}
    tracer.use(None)
    backend.close()


def on_service(transport, scenario, *, access=False):
    """Runs `scenario(channel)` against a server whose Count calls its own Drain; returns the registry and log lines."""
    registry = Registry()

    async def whole():
        async def drain(request, info):
            return pb.DrainResponse()

        async def count(request, info):
            if request.model == "refuse":
                raise PlatformError(Reason.OVERLOADED, "a user's words", started=False)
            await channel.call(DRAIN, pb.DrainRequest(), timeout=5, metadata=inject())
            return pb.CountResponse(tokens=1)

        async def generate(request, responder, info):
            responder.send(pb.GenerateResponse(text="x"))

        handlers = [Handler(COUNT, count), Handler(DRAIN, drain), Handler(GENERATE, generate)]
        hooks = (RpcTelemetry(registry, access=access),)
        server = RpcServer("demo", handlers, RpcServerSettings(), clock=SystemClock(), token=TOKEN, hooks=hooks)
        port = await server.start()
        channel = dial(f"127.0.0.1:{port}", transport, identity="tests", token=TOKEN)
        try:
            await scenario(channel)
        finally:
            await channel.close()
            await server.stop()

    with capture_logs() as lines:
        run_real(whole())
    return registry, lines


async def one_call(channel):
    metadata = {"x-request-id": "r-1", **inject()}
    await channel.call(COUNT, pb.CountRequest(model="m"), timeout=5, metadata=metadata)


async def refused_call(channel):
    with contextlib.suppress(PlatformError):
        await channel.call(COUNT, pb.CountRequest(model="refuse"), timeout=5)


both = pytest.mark.parametrize("transport", ["trunk", "grpc"])


@both
def test_calls_within_calls_are_one_tree(transport, spans):
    async def scenario(channel):
        with tracer.span("caller"):
            await one_call(channel)

    on_service(transport, scenario)
    found = spans()
    assert found["Count"].parent.span_id == found["caller"].context.span_id
    assert found["Drain"].parent.span_id == found["Count"].context.span_id
    assert found["Count"].attributes[names.REQUEST_ID] == "r-1"


@both
def test_a_stream_has_one_span(transport, spans):
    async def scenario(channel):
        with tracer.span("caller"):
            async for _ in channel.stream(GENERATE, pb.GenerateRequest(), timeout=5, metadata=inject()):
                pass

    on_service(transport, scenario)
    found = spans()
    assert found["Generate"].parent.span_id == found["caller"].context.span_id


@both
def test_durations_are_counted_by_method_and_reason_and_none_stays_open(transport):
    async def scenario(channel):
        await one_call(channel)
        await refused_call(channel)

    registry, _ = on_service(transport, scenario)

    def value(name, **labels):
        return registry.collector.get_sample_value(name, labels)

    assert value(f"{names.METRIC_RPC_DURATION}_count", method="Count", reason="OK") == 1
    assert value(f"{names.METRIC_RPC_DURATION}_count", method="Count", reason="OVERLOADED") == 1
    assert value(names.METRIC_RPC_OPEN, method="Count") == 0


@both
def test_a_failed_call_is_logged_with_its_reason_and_none_of_its_words(transport, spans):
    _, lines = on_service(transport, refused_call)
    (line,) = [line for line in lines if line["event"] == "rpc failed"]
    assert (line["reason"], line["peer"], line["started"]) == ("OVERLOADED", "tests", False)
    assert "words" not in repr(lines)
    assert spans()["Count"].attributes["error.type"] == "OVERLOADED"


@pytest.mark.parametrize("access", [True, False])
def test_calls_that_went_well_are_logged_if_asked_for(access):
    _, lines = on_service("trunk", one_call, access=access)
    calls = [line for line in lines if line.get("method", "").endswith("Count")]
    assert [line["request_id"] for line in calls] == (["r-1"] if access else [])


def test_untraced_calls_carry_no_span():
    info = CallInfo("/a.B/C", "tests")
    hook = RpcTelemetry(Registry(), access=False)
    mark = hook.started(info)
    hook.finished(mark, info, None, 0.1)
    assert mark is None
