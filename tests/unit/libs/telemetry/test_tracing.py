import asyncio
import contextlib
import subprocess
import sys

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from libs.errors import PlatformError, Reason
from libs.settings import TraceSettings
from libs.telemetry import extract, inject, tracer
from libs.telemetry.otel import otel_backend
from libs.testing.loop import run

REMOTE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-other": "1"}


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


def test_off_it_makes_nothing():
    with tracer.span("work", attributes={"a": 1}) as span:
        span.set({"b": 2})
        span.event("c")
        assert (inject(), span.carry(), tracer.ids(), tracer.enabled) == ({}, {}, None, False)


def test_off_the_sdk_is_not_imported():
    code = "import sys, libs.app, libs.telemetry; sys.exit('opentelemetry.sdk' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=True)


def test_spans_nest(finished):
    with tracer.span("outer"), tracer.span("inner"):
        pass
    spans = finished()
    assert spans["inner"].parent.span_id == spans["outer"].context.span_id
    assert spans["outer"].parent is None


def test_a_span_continues_the_callers_trace(finished):
    with tracer.span("served", kind="server", parent=REMOTE):
        pass
    span = finished()["served"]
    assert f"{span.context.trace_id:032x}" in REMOTE["traceparent"]
    assert f"{span.parent.span_id:016x}" in REMOTE["traceparent"]


def test_metadata_without_a_trace_starts_one_even_inside_a_span(finished):
    with tracer.span("outer"), tracer.span("served", parent={}):
        pass
    assert finished()["served"].parent is None


def test_what_is_injected_makes_the_neighbours_span_a_child(finished):
    with tracer.span("caller") as caller:
        carried = inject()
        assert carried == caller.carry()
    with tracer.span("callee", parent=carried):
        pass
    spans = finished()
    assert spans["callee"].parent.span_id == spans["caller"].context.span_id


def test_tasks_inherit_the_current_span_and_do_not_leak_theirs(finished):
    async def work(name):
        with tracer.span(name):
            await asyncio.sleep(1)

    async def scenario():
        with tracer.span("request"):
            await asyncio.gather(work("a"), work("b"))
        assert tracer.ids() is None

    run(scenario())
    spans = finished()
    assert {spans[name].parent.span_id for name in "ab"} == {spans["request"].context.span_id}


def test_a_failure_shows_its_kind_and_not_its_words(finished):
    with contextlib.suppress(PlatformError), tracer.span("work"):
        raise PlatformError(Reason.OVERLOADED, "the user's words")
    span = finished()["work"]
    assert span.attributes["error.type"] == "OVERLOADED"
    assert "words" not in span.to_json()


def test_a_span_ends_once(finished):
    span = tracer.start("work")
    span.end()
    span.end()
    assert "work" in finished()


def test_ids_are_those_of_the_current_span(finished):
    with tracer.span("work"):
        trace_id, span_id = tracer.ids()
    context = finished()["work"].context
    assert (int(trace_id, 16), int(span_id, 16)) == (context.trace_id, context.span_id)


def test_extract_keeps_the_trace_alone():
    assert extract(REMOTE) == {"traceparent": REMOTE["traceparent"]}
    assert extract({"x": "y"}) == {}
