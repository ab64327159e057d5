import asyncio

import pytest
from fake_backend import INVALID, FakeBackend, Rig, output, resumed

from libs.errors import PlatformError, Reason
from libs.testing.loop import run, run_real
from services.inference.domain.request import Guided

SCHEMA = Guided(json_schema='{"type": "object"}')


def in_rig(scenario, run=run, **kwargs):
    async def body():
        async with Rig(**kwargs) as rig:
            await scenario(rig)

    run(body())


def test_one_step_reaches_every_sink_in_one_tick():
    async def scenario(rig):
        a, b = rig.submit("a"), rig.submit("b", n=1)
        rig.backend.step(
            output(rig.backend.ids("a")[0], [7], cached=32), output(rig.backend.ids("b")[0], [8, 9], finish=0)
        )
        await rig.settle()
        assert [(s.token_ids, s.cached_tokens, s.finish) for s in a.steps] == [([7], 32, None)]
        assert [(s.token_ids, s.cached_tokens, s.finish) for s in b.steps] == [([8, 9], None, "stop")]

    in_rig(scenario)


def test_first_tokens_of_a_step_go_first():
    async def scenario(rig):
        told = []
        for name in ("a", "b"):
            sink = rig.submit(name)
            sink.on_step = sink.on_tokens = lambda *_, name=name: told.append(name)
        old, new = rig.backend.ids("a")[0], rig.backend.ids("b")[0]
        rig.backend.step(output(old, [7], cached=0))
        await rig.settle()
        rig.backend.step(output(old, [8]), output(new, [9], cached=0))
        await rig.settle()
        assert told == ["a", "b", "a"]

    in_rig(scenario)


def test_steps_that_arrive_together_are_one_to_each_sink():
    async def scenario(rig):
        a, b = rig.submit("a"), rig.submit("b")
        (first,), (second,) = rig.backend.ids("a"), rig.backend.ids("b")
        rig.backend.step(output(first, [7], cached=32), output(second, [8]))
        rig.backend.step(output(first, [9, 10]), running=2, kv_use=0.25)
        rig.backend.step(output(second, [11], finish=0, stop_reason=11), output(first, [12]))
        await rig.settle()
        assert [(s.token_ids, s.cached_tokens, s.finish) for s in a.steps] == [([7, 9, 10, 12], 32, None)]
        assert [(s.token_ids, s.finish, s.stop_token) for s in b.steps] == [([8, 11], "stop", 11)]
        assert rig.backend.ids("b")
        assert rig.engine.load().running == 1

    in_rig(scenario)


def test_what_came_before_a_failure_in_the_same_read_is_delivered_first():
    async def scenario(rig):
        sink, other = rig.submit("a"), rig.submit("b")
        (failing,), (fine,) = rig.backend.ids("a"), rig.backend.ids("b")
        rig.backend.step(output(failing, [7]), output(fine, [8]))
        rig.backend.step(output(failing, [], finish=3), output(fine, [9]))
        await rig.settle()
        assert [s.token_ids for s in sink.steps] == [[7]]
        assert [error.reason for error in sink.errors] == [Reason.INTERNAL]
        assert [s.token_ids for s in other.steps] == [[8, 9]]

    in_rig(scenario)


def test_a_sink_that_ends_its_call_hears_no_failure_from_the_same_read():
    async def scenario(rig):
        sink = rig.submit("a")
        sink.on_step = lambda _step: rig.engine.abort("a")
        (failing,) = rig.backend.ids("a")
        rig.backend.step(output(failing, [7]))
        rig.backend.step(output(failing, [], finish=3))
        await rig.settle()
        assert sink.errors == []
        assert rig.engine.load().healthy

    in_rig(scenario)


def test_choices_are_requests_of_their_own_with_seeds_of_their_own():
    async def scenario(rig):
        sink = rig.submit("a", n=2, seed=10)
        first, second = rig.backend.ids("a")
        assert [rig.backend.added[i][1]["seed"] for i in (first, second)] == [10, 11]
        rig.backend.step(output(second, [5], finish=1))
        await rig.settle()
        assert [(s.choice, s.finish) for s in sink.steps] == [(1, "length")]
        assert rig.engine.load().running + rig.engine.load().waiting == 1

    in_rig(scenario)


def test_resumed_tokens_join_the_prompt_and_the_grammar_and_finished_choices_stay_out():
    async def scenario(rig):
        rig.backend.sandbox.answer = None
        rig.submit("a", n=2, resume=[resumed([8], 0, finished=True), resumed([9], 1, max_tokens=2)], seed=1)
        (only,) = rig.backend.ids("a")
        prompt, arguments = rig.backend.added[only]
        assert (prompt, arguments["max_tokens"]) == ([1, 2, 3, 9], 2)
        assert arguments["seed"] not in {1, 2}
        assert rig.backend.options[only]["resumed"] == [9]

    in_rig(scenario)


def test_nothing_left_to_generate_is_refused():
    async def scenario(rig):
        with pytest.raises(PlatformError):
            rig.submit("a", resume=[resumed([8], finished=True)])

    in_rig(scenario)


def test_the_queue_is_bounded_and_gives_places_back():
    async def scenario(rig):
        for name in "abc":
            rig.submit(name)
        with pytest.raises(PlatformError) as refused:
            rig.submit("d")
        assert (refused.value.reason, refused.value.started) == (Reason.OVERLOADED, False)
        assert refused.value.retry_after_seconds >= 1
        rig.backend.step(output(rig.backend.ids("a")[0], [1], finish=0))
        await rig.settle()
        rig.submit("d")

    in_rig(scenario)


def test_abort_reaches_the_engine_in_this_tick_and_silences_the_sink():
    async def scenario(rig):
        sink = rig.submit("a", n=2)
        ids = rig.backend.ids("a")
        rig.engine.abort("a")
        assert rig.backend.aborted == ids
        rig.engine.abort("a")
        rig.backend.step(output(ids[0], [1]))
        await rig.settle()
        assert (sink.steps, sink.errors) == ([], [])
        rig.submit("a")

    in_rig(scenario)


def test_an_abort_only_names_what_is_left():
    async def scenario(rig):
        rig.submit("a", n=2)
        first, second = rig.backend.ids("a")
        rig.backend.step(output(first, [1], finish=0))
        await rig.settle()
        rig.engine.abort("a")
        assert rig.backend.aborted == [second]

    in_rig(scenario)


def test_a_failed_output_ends_its_request_alone():
    async def scenario(rig):
        a, b = rig.submit("a"), rig.submit("b")
        rig.backend.step(output(rig.backend.ids("a")[0], [], finish=3), output(rig.backend.ids("b")[0], [4]))
        await rig.settle()
        assert a.errors[0].reason is Reason.INTERNAL
        assert b.steps[0].token_ids == [4]
        assert rig.engine.load().running + rig.engine.load().waiting == 1

    in_rig(scenario)


def test_what_vllm_refuses_is_raised_and_takes_no_place():
    async def scenario(rig):
        rig.backend.refuse = INVALID
        for _ in range(5):
            with pytest.raises(PlatformError, match="vLLM refuses"):
                rig.submit("a")

    in_rig(scenario)


def test_a_new_grammar_is_tried_out_first_and_then_remembered():
    async def scenario(rig):
        rig.submit("a", guided=SCHEMA)
        assert rig.backend.ids("a") == []
        await _until(rig, lambda: rig.backend.ids("a"))
        rig.submit("b", guided=SCHEMA)
        assert rig.backend.ids("b")
        assert len(rig.backend.sandbox.asked) == 1

    in_rig(scenario)


def test_requests_with_the_same_new_grammar_try_it_out_once():
    async def scenario(rig):
        for name in "abc":
            rig.submit(name, guided=SCHEMA)
        await _until(rig, lambda: rig.backend.ids("c"))
        assert rig.backend.ids("a")
        assert rig.backend.ids("b")
        assert len(rig.backend.sandbox.asked) == 1

    in_rig(scenario)


def test_a_bad_grammar_is_told_to_the_sink_and_never_seen_by_the_engine():
    async def scenario(rig):
        rig.backend.sandbox.answer = "[01:02:03] /project/cpp/x.cc:12: no good"
        sink = rig.submit("a", guided=SCHEMA)
        await _until(rig, lambda: sink.errors)
        assert sink.errors[0].reason is Reason.INVALID_SCHEMA
        assert sink.errors[0].message == "the schema cannot be used: no good"
        assert rig.backend.ids("a") == []
        with pytest.raises(PlatformError) as refused:
            rig.submit("a", guided=SCHEMA)
        assert refused.value.reason is Reason.INVALID_SCHEMA

    in_rig(scenario)


def test_an_abort_while_the_grammar_is_tried_out_leaves_nothing():
    async def scenario(rig):
        rig.backend.sandbox.open.clear()
        sink = rig.submit("a", guided=SCHEMA)
        await _until(rig, lambda: rig.backend.sandbox.asked)
        rig.engine.abort("a")
        rig.backend.sandbox.open.set()
        await rig.settle()
        assert rig.backend.ids("a") == []
        assert sink.errors == []
        assert rig.engine.load().waiting == 0

    in_rig(scenario, run=run_real)  # the virtual loop waits for threads, and this one waits for the test


def test_a_late_refusal_of_the_engine_is_told_to_the_sink():
    async def scenario(rig):
        rig.backend.refuse = INVALID
        sink = rig.submit("a", guided=SCHEMA)
        await _until(rig, lambda: sink.errors)
        assert sink.errors == [INVALID]

    in_rig(scenario)


def test_without_a_sandbox_a_grammar_is_not_started():
    async def scenario(rig):
        rig.backend.sandbox.answer = ConnectionResetError("ended")
        sink = rig.submit("a", guided=SCHEMA)
        await _until(rig, lambda: sink.errors)
        assert (sink.errors[0].reason, sink.errors[0].started) == (Reason.ENGINE_DEAD, False)

    in_rig(scenario)


def test_seeds_are_refused_where_they_would_kill_the_engine():
    async def scenario(rig):
        with pytest.raises(PlatformError) as refused:
            rig.submit("a", seed=1)
        assert (refused.value.reason, refused.value.param) == (Reason.UNSUPPORTED_PARAMETER, "seed")
        rig.submit("b")

    async def body():
        async with Rig(FakeBackend(chunked=True)) as rig:
            assert not rig.capabilities.seed
            await scenario(rig)

    run(body())


def test_a_request_id_in_use_is_refused():
    async def scenario(rig):
        rig.submit("a")
        with pytest.raises(PlatformError) as refused:
            rig.submit("a")
        assert refused.value.param == "request_id"

    in_rig(scenario)


async def _until(rig, condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")
