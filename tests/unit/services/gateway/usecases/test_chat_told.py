"""What a call leaves behind: the end, the trace, the log; never a word of the prompt."""

from __future__ import annotations

from libs.telemetry import Span, tracer
from libs.testing.loop import run
from services.gateway.domain.turns import (
    SessionClaim,
)
from tests.unit.services.gateway.usecases.world import (
    Worker,
    World,
    ask,
)

MINE = SessionClaim(explicit="s1", source="x-session-id")


def test_ignored_fields_are_reported(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            events = await world.answer(ask(ignored_fields=("banana",)))
            assert events[-1].ignored_fields == ("banana",)

    run(scenario())


class Backend:
    """Keeps what spans were told."""

    def __init__(self):
        self.spans = []

    def start(self, name, kind, parent, attributes):
        self.spans.append(TracedSpan())
        return self.spans[-1]

    def carry(self):
        return {}

    def ids(self):
        return None


class TracedSpan(Span):
    def __init__(self):
        self.attributes, self.events, self.ends = {}, [], 0

    def set(self, attributes):
        self.attributes |= attributes

    def event(self, name, attributes=None):
        self.events.append(attributes)

    def carry(self):
        return {"traceparent": "00-abc-def-01"}

    def end(self):
        self.ends += 1


def test_the_trace_goes_with_every_hop_and_tells_the_story_without_the_prompt(tmp_path):
    async def scenario():
        backend = Backend()
        tracer.use(backend)
        try:
            async with World([Worker("a", [("die", 2)]), Worker("b")], tmp_path) as world:
                await world.answer(ask("a secret question", session=MINE))
                calls = [*world.router.places, *world.workers["a"].requests, *world.workers["b"].requests]
                assert {info.metadata["traceparent"] for _, info in calls} == {"00-abc-def-01"}
        finally:
            tracer.use(None)
        (span,) = backend.spans
        assert (span.ends, span.attributes["headrace.worker"], span.attributes["headrace.resumes"]) == (1, "b", 1)
        assert span.attributes["gen_ai.conversation.id"] == "s1"
        assert span.events == [{"headrace.worker": "a", "outcome": "lost", "error.type": "WORKER_LOST"}]
        assert "secret" not in repr((span.attributes, span.events))

    run(scenario())


def test_the_log_never_holds_a_prompt(tmp_path, capsys):
    async def scenario():
        async with World([Worker("a", [("fail", 2)])], tmp_path) as world:
            await world.failure(ask("a secret question"))

    run(scenario())
    out = capsys.readouterr()
    assert "STREAM_INTERRUPTED" in out.out + out.err
    assert "secret" not in out.out + out.err


def test_the_end_leaves_with_the_last_delta(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            batches = [batch async for batch in world.stream(ask(max_tokens=1))]
            assert len(batches) == 1
            assert [type(event).__name__ for event in batches[0]] == ["Started", "Delta", "Ended"]

    run(scenario())
