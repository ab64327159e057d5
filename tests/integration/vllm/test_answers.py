import asyncio
import json
import time

import pytest
from harness import STORY, Sink, resumed, work

from libs.errors import PlatformError, Reason
from services.inference.domain.request import Guided

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
LONG = STORY * 30


@pytest.fixture(scope="module")
def text_of():
    from harness import MODEL
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    return lambda ids: tokenizer.decode(ids, skip_special_tokens=True)


def test_capacity_is_the_engines_own_and_agrees_with_the_formula(engine):
    room = engine.capacity
    assert room.kv_bytes_per_token == 2 * 30 * 3 * 64 * 2
    assert room.block_tokens == 32
    assert abs(room.blocks - (1 << 28) // (room.kv_bytes_per_token * 32)) <= 1
    assert room.sessions == room.blocks * 32 // 2048


def test_greedy_answers_repeat_and_end_with_a_reason(engine):
    one, two = engine.ask(temperature=0.0), engine.ask(temperature=0.0)
    assert one.tokens() == two.tokens()
    assert len(one.tokens()) == 16
    assert one.finish() == "length"
    assert one.steps[0].queue_seconds is not None


def test_prefix_cache_is_shared_within_a_salt_only(engine):
    cold = engine.ask(LONG, salt="tenant-a", temperature=0.0, max_tokens=1)
    warm = engine.ask(LONG, salt="tenant-a", temperature=0.0, max_tokens=1)
    other = engine.ask(LONG, salt="tenant-b", temperature=0.0, max_tokens=1)
    assert cold.steps[0].cached_tokens == 0
    assert warm.steps[0].cached_tokens >= len(LONG) - 64
    assert other.steps[0].cached_tokens == 0


def test_choices_stream_apart_and_seeds_repeat(engine):
    one, two = (engine.ask(n=3, seed=-1, temperature=1.0) for _ in range(2))
    assert [one.tokens(c) for c in range(3)] == [two.tokens(c) for c in range(3)]
    assert len({tuple(one.tokens(c)) for c in range(3)}) > 1


def test_logprobs_have_one_entry_per_token_with_the_chosen_first(engine):
    sink = engine.ask(temperature=0.0, logprobs=2, max_tokens=4)
    entries = [entry for step in sink.steps for entry in step.logprobs]
    assert [entry.top[0][0] for entry in entries] == sink.tokens()
    assert all(len(entry.top) == 3 and entry.top[0][2] <= 0 for entry in entries)
    assert all(isinstance(token, bytes) and token for entry in entries for _, token, _ in entry.top)


def test_a_stop_token_ends_and_is_named(engine):
    tokens = engine.ask(temperature=0.0).tokens()
    sink = engine.ask(temperature=0.0, stop_token_ids=(tokens[5],))
    assert (sink.finish(), sink.steps[-1].stop_token) == ("stop", tokens[5])
    assert sink.tokens() == tokens[: tokens.index(tokens[5]) + 1]


@pytest.mark.parametrize("kept", [1, 7, 15])
def test_a_greedy_resume_continues_the_same_answer(engine, kept):
    whole = engine.ask(temperature=0.0, max_tokens=24).tokens()
    rest = engine.ask(temperature=0.0, max_tokens=24 - kept, resume=[resumed(whole[:kept])]).tokens()
    # Float ties may fall otherwise when the batch is shaped otherwise; the first tokens must agree.
    assert rest[:3] == whole[kept : kept + 3]
    assert len(rest) == 24 - kept


def test_a_seeded_resume_draws_anew(engine):
    whole = engine.ask(temperature=1.0, seed=7, max_tokens=24).tokens()
    rest = [engine.ask(temperature=1.0, seed=7, max_tokens=12, resume=[resumed(whole[:12])]).tokens() for _ in "ab"]
    assert rest[0] == rest[1]
    assert rest[0] != whole[:12]


def test_resume_of_choices_leaves_finished_ones_alone(engine):
    sink = engine.ask(n=2, temperature=0.0, resume=[resumed([504], 0, finished=True), resumed([504], 1, max_tokens=3)])
    assert sink.tokens(0) == []
    assert len(sink.tokens(1)) == 3


def test_guided_output_is_valid_json(engine, text_of):
    sink = engine.ask(guided=Guided(json_schema=json.dumps(SCHEMA)), max_tokens=200, temperature=0.0)
    answer = json.loads(text_of(sink.tokens()))
    assert sink.finish() == "stop"
    assert set(answer) == {"city", "people"}


@pytest.mark.parametrize("kept", [1, 4, 9])
def test_a_guided_resume_goes_on_in_the_grammar(engine, text_of, kept):
    guided = Guided(json_schema=json.dumps(SCHEMA))
    whole = engine.ask(guided=guided, max_tokens=200, temperature=0.0).tokens()
    rest = engine.ask(guided=guided, max_tokens=200, temperature=0.0, resume=[resumed(whole[:kept])]).tokens()
    assert set(json.loads(text_of(whole[:kept] + rest))) == {"city", "people"}


def test_regex_and_any_object(engine, text_of):
    assert text_of(engine.ask(guided=Guided(regex="(yes|no)")).tokens()) in {"yes", "no"}
    sink = engine.ask(guided=Guided(json_object=True), max_tokens=120, temperature=0.0)
    assert sink.finish() == "length" or isinstance(json.loads(text_of(sink.tokens())), dict)


def test_an_abort_frees_the_engine_before_and_after_the_first_token(engine):
    async def scenario(wait_for_first):
        sink = Sink()
        request = work(LONG, max_tokens=1000, ignore_eos=True)
        engine.engine.submit(request, sink)
        if wait_for_first:
            await sink.first.wait()
        engine.engine.abort(request.common.request_id)
        heard = len(sink.steps)
        after = await engine.answer(work(max_tokens=1))
        assert after.finish() == "length"
        assert len(sink.steps) == heard
        assert sink.error is None
        assert engine.engine.load().kv_use == 0

    engine.run(scenario(wait_for_first=False))
    engine.run(scenario(wait_for_first=True))


def test_beyond_the_queue_work_is_refused_at_once_and_places_come_back(engine):
    async def scenario():
        sinks = []
        for _ in range(16):
            sinks.append((request := work(max_tokens=400, ignore_eos=True), Sink()))
            engine.engine.submit(request, sinks[-1][1])
        took = []
        for _ in range(5):
            begun = time.perf_counter()
            with pytest.raises(PlatformError) as refused:
                engine.engine.submit(work(), Sink())
            took.append(time.perf_counter() - begun)
        assert min(took) < 0.005
        assert (refused.value.reason, refused.value.started) == (Reason.OVERLOADED, False)
        assert refused.value.retry_after_seconds > 0
        await sinks[0][1].first.wait()
        assert engine.engine.load().running <= 8
        for request, _ in sinks:
            engine.engine.abort(request.common.request_id)
        await asyncio.wait_for(engine.answer(work()), 30)

    engine.run(scenario())
