"""What the real pipeline's calls leave in the record, and what the bounds of the queue leave out."""

from __future__ import annotations

import asyncio

import pytest
from headrace.inference.v1.inference_pb2 import CHANNEL_REASONING, GenerateResponse, ToolCallDelta

from libs.errors import Reason
from libs.money import to_dollars
from libs.testing.loop import run
from services.gateway.domain.accounts.records import RecordPolicy
from services.gateway.domain.answer_text import AnswerText
from services.gateway.domain.turns import Principal, Sampling, SessionClaim
from services.gateway.usecases.records.recorder import RecordedPipeline
from tests.unit.services.gateway.usecases.records.world import NOW, Records
from tests.unit.services.gateway.usecases.world import Worker, World, ask, token_at, whole

NUMBERS = RecordPolicy(store_prompts=False)
NOTHING = RecordPolicy(enabled=False)


class Both:
    def __init__(self, *observers):
        self.observers = observers

    def ended(self, record):
        for observer in self.observers:
            observer.ended(record)


def recorded(world, **limits):
    """A world's pipeline with records beside it, once it has started."""
    records = Records(clock=world.clock, **limits)
    world.seen = Both(world.seen, records.recorder)
    return records


async def answered(tmp_path, request, principal, workers=None, **limits):
    """The record of one call, written and read again; None = there is none."""
    world = World(workers or [Worker("a")], tmp_path)
    records = recorded(world, **limits)
    async with world:
        world.pipeline = RecordedPipeline(world.pipeline, records.recorder)
        events = await world.answer(request, principal)
    records.writer.start()
    await asyncio.sleep(10)
    await records.writer.close(1.0)
    return events, await records.reader.get(principal.tenant, "r1"), records


def test_a_call_is_recorded_with_its_numbers_and_its_texts(tmp_path):
    principal = Principal("acme", "key-1", account_user="ada", tags=(("team", "red"),))
    request = ask(
        "hello there", user="u-1", metadata={"feature": "x"}, sampling=Sampling(max_tokens=3, n=2),
        session=SessionClaim(explicit="s1", source="x-session-id", root="s1"),
    )  # fmt: skip
    events, record, records = run(answered(tmp_path, request, principal))
    assert whole(events, 3, 0)
    assert whole(events, 3, 1)
    assert (record.tenant, record.key, record.user, record.end_user) == ("acme", "key-1", "ada", "u-1")
    assert (record.session, record.root_session, record.model, record.worker) == ("s1", "s1", "m", "a")
    assert (record.completion_tokens, record.cached_tokens, record.cost_nanodollars) == (6, 3, events[-1].cost)
    assert record.prompt_tokens == events[-1].prompt_tokens > 0
    assert record.finish_reasons == ("length", "length")
    assert [(a.worker, a.outcome) for a in record.attempts] == [("a", "answered")]
    assert record.tags == {"team": "red", "feature": "x"}
    assert [(turn.role, turn.text) for turn in record.prompt] == [("user", "hello there")]
    assert [answer.content for answer in record.answers] == [
        "".join(f"<{token_at(choice, index)}>" for index in range(3)) for choice in (0, 1)
    ]
    assert (record.text, record.text_cut, record.error) == ("stored", False, "")
    assert NOW - 1 < record.at <= NOW + 60
    assert record.shown()["cost_usd"] == to_dollars(events[-1].cost) != "0"
    assert records.watch.losses == {}


def test_a_stream_that_moved_has_all_of_its_attempts_and_all_of_its_text(tmp_path):
    workers = [Worker("a", script=[("die", 2)]), Worker("b")]
    events, record, _ = run(answered(tmp_path, ask(max_tokens=5), Principal("acme", "key-1"), workers))
    assert whole(events, 5)
    assert [(a.worker, a.outcome) for a in record.attempts] == [("a", "lost"), ("b", "answered")]
    assert (record.resumes, record.answers[0].content) == (1, "".join(f"<{token_at(0, i)}>" for i in range(5)))


def test_a_tenant_that_stores_no_prompts_has_numbers_and_its_calls_pass_by_untouched(tmp_path):
    principal = Principal("acme", "key-1", records=NUMBERS)
    _, record, records = run(answered(tmp_path, ask("a secret"), principal))
    assert (record.text, record.prompt, record.answers) == ("off", (), ())
    assert record.completion_tokens == 6
    assert b"secret" not in records.stored()

    class Pipeline:
        models = ready = None

        def chat(self, *given, **more):
            return given, more

    given = (ask(), principal)
    passed = RecordedPipeline(Pipeline(), records.recorder).chat(*given, request_id="r", write="w", deadline=1.0)
    assert passed == (given, {"request_id": "r", "write": "w", "deadline": 1.0})


def test_a_tenant_without_records_has_none(tmp_path):
    _, record, records = run(answered(tmp_path, ask(), Principal("acme", "key-1", records=NOTHING)))
    assert record is None
    assert records.blobs.stored == {}


def test_a_refused_call_is_recorded_without_its_prompt(tmp_path):
    async def scenario():
        world = World([Worker("a")], tmp_path)
        records = recorded(world)
        async with world:
            world.pipeline = RecordedPipeline(world.pipeline, records.recorder)
            _, error = await world.failure(ask("a secret", model="unknown"))
        return error.reason, records.recorder.find("acme", "r1"), records.recorder.find("other", "r1")

    reason, record, foreign = run(scenario())
    assert reason is Reason.MODEL_NOT_FOUND
    assert (record.error, record.text, record.attempts) == (reason.value, "none", ())
    assert foreign is None


def test_a_client_that_goes_leaves_a_record_of_what_it_got_and_nothing_else_behind(tmp_path):
    async def scenario():
        world = World([Worker("a")], tmp_path)
        records = recorded(world)
        async with world:
            world.pipeline = RecordedPipeline(world.pipeline, records.recorder)
            stream = world.stream(ask(max_tokens=50))
            await anext(stream)
            await anext(stream)
            await stream.aclose()
        assert records.recorder._answers == {}
        return records.recorder.find("acme", "r1")

    record = run(scenario())
    assert (record.error, record.completion_tokens, record.attempts[0].outcome) == ("CANCELLED", 2, "given up")


def test_texts_go_first_when_too_much_waits_and_nothing_goes_silently():
    records = Records(records_max=3, text_bytes_max=100)
    for name in ("a", "b", "c", "d"):
        records.put(name, prompt_tokens=12, completion_tokens=0)
    found = [records.recorder.find("acme", name) for name in ("a", "b", "c", "d")]
    assert [record and record.text.value for record in found] == ["pending", "pending", "dropped", None]
    assert records.watch.losses == {"text": 1, "record": 1}


def delta(text="", **fields):
    return GenerateResponse(text=text, **fields)


def test_what_the_short_way_writes_is_kept_and_what_it_refuses_is_not():
    text, written = AnswerText(1000), []

    def write(response, piece):
        written.append(piece)
        return piece != "refused"

    both = text.beside(write)
    assert [both(delta(piece), piece) for piece in ("a", "", "refused", "b")] == [True, True, False, True]
    text.take(delta("refused"))
    assert "".join(text.choices()[0].content) == "abrefused"
    assert written == ["a", "", "refused", "b"]


def test_channels_choices_and_tool_calls_are_kept_apart():
    text = AnswerText(1000)
    text.take(delta("think", channel=CHANNEL_REASONING))
    text.take(delta("say", choice=1))
    text.take(delta(tool_calls=[ToolCallDelta(index=0, id="c1", name="add", arguments='{"a"')]))
    text.take(delta(tool_calls=[ToolCallDelta(index=0, arguments=":1}")]))
    zero, one = text.choices()[0], text.choices()[1]
    assert (zero.reasoning, zero.content, one.content) == (["think"], [], ["say"])
    call = zero.tool_calls[0]
    assert (call.id, call.name, call.arguments) == ("c1", "add", '{"a":1}')


@pytest.mark.parametrize("pieces", [3, 300, 1000])
def test_an_answer_is_kept_up_to_its_bound_in_few_pieces(pieces):
    text = AnswerText(100)
    for _ in range(pieces):
        text.take(delta("ab"))
    assert len(text._choices[0].content) <= 256
    assert text.choices()[0].content == ["ab" * min(pieces, 50)]
    assert text.cut == (pieces > 50)
