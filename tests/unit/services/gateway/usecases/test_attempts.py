"""The resume matrix: workers die, drain, refuse, lie and hang at every place; the client sees one whole stream."""

from __future__ import annotations

import pytest

from libs.errors import PlatformError, Reason
from libs.resilience.breaker import BreakerRule
from libs.resilience.retry_budget import RetryBudget
from libs.testing.inmem import InMemoryStream
from libs.testing.loop import run
from services.gateway.domain.turns import Guided, Sampling, Tool, ToolChoice
from services.gateway.events import Ended
from services.gateway.usecases.waiting import WaitLimits
from tests.unit.services.gateway.usecases.world import Worker, World, ask, capable, tokens, whole

# What is tried here is the budget: without it, breakers end the storm.
NEVER = BreakerRule(failures_in_a_row=10**6, calls_min=10**6)
TOOLS = {"tools": (Tool("f", "does", "{}"),), "tool_choice": ToolChoice("required")}


def test_a_plain_answer(tmp_path):
    async def scenario():
        async with World([Worker("a"), Worker("b")], tmp_path) as world:
            events = await world.answer()
            assert whole(events)
            end = events[-1]
            assert (end.completion_tokens, end.cached_tokens, end.attempts, end.resumed) == (6, 3, 1, False)
            assert end.prompt_tokens == world.router.places[0][0].prompt_tokens > 0
            assert world.attempts() == [("a", 0)]
            assert world.record.error == ""

    run(scenario())


@pytest.mark.parametrize("fault", ["die", "disconnect", "drain", "engine"])
@pytest.mark.parametrize("at", range(6))
def test_a_loss_at_every_index_is_not_seen_by_the_client(tmp_path, fault, at):
    async def scenario():
        async with World([Worker("a", [(fault, at)]), Worker("b")], tmp_path) as world:
            events = await world.answer()
            assert whole(events)
            end = events[-1]
            assert (end.completion_tokens, end.cached_tokens, end.attempts) == (6, 3, 2)
            assert end.resumed is (at > 0)
            ((request, _),) = world.workers["b"].requests
            assert (request.epoch, request.request_id) == (1, "r1-1")
            assert request.sampling.max_tokens == 6 - at
            assert [list(c.token_ids) for c in request.resume.choices] == ([tokens(events)[:at]] if at else [])
            if at:
                assert request.resume.choices[0].text_sent == 5 * at
            assert request.call_seed == "r1"

    run(scenario())


@pytest.mark.parametrize("second", ["die", "disconnect", "drain", "engine"])
@pytest.mark.parametrize("first", ["die", "disconnect", "drain", "engine"])
@pytest.mark.parametrize("sent", [True, False])
def test_two_losses_go_on_only_when_one_was_harmless(tmp_path, first, second, sent):
    deadly = {"die", "engine"}

    async def scenario():
        at = 2 if sent else 0
        workers = [Worker("a", [(first, at)]), Worker("b", [(second, at)]), Worker("c")]
        async with World(workers, tmp_path) as world:
            if {first, second} <= deadly:
                events, error = await world.failure()
                assert error.reason is (Reason.STREAM_INTERRUPTED if sent else Reason.WORKER_LOST)
                assert error.http_status == 503
                assert not world.workers["c"].requests
                assert not any(isinstance(event, Ended) for event in events)
            else:
                assert whole(await world.answer())
                assert world.attempts() == [("a", 0), ("b", 1), ("c", 2)]

    run(scenario())


def test_three_losses_end_the_stream_even_when_all_were_drains(tmp_path):
    async def scenario():
        workers = [Worker(name, [("drain", 1)]) for name in "abcd"]
        async with World(workers, tmp_path) as world:
            events, error = await world.failure()
            assert error.reason is Reason.STREAM_INTERRUPTED
            assert tokens(events) == [100, 101, 102]
            assert not world.workers["d"].requests

    run(scenario())


def test_a_killer_request_never_meets_a_third_worker_by_way_of_refusals(tmp_path):
    async def scenario():
        workers = [
            Worker("a", [("die", 0)]), Worker("b", [("refuse", Reason.OVERLOADED)]), Worker("c", [("die", 0)]),
            Worker("d"),
        ]  # fmt: skip
        async with World(workers, tmp_path) as world:
            _, error = await world.failure()
            assert error.reason is Reason.WORKER_LOST
            assert not world.workers["d"].requests

    run(scenario())


def test_not_started_moves_on_twice_at_most(tmp_path):
    async def scenario():
        refusing = [Worker(name, [("refuse", Reason.DRAINING)]) for name in "abc"]
        async with World([*refusing, Worker("d")], tmp_path) as world:
            events, error = await world.failure()
            assert (error.reason, events) == (Reason.DRAINING, [])
            assert world.attempts() == [("a", 0), ("b", 1), ("c", 2)]
        async with World([Worker("a", [("refuse", Reason.DRAINING)] * 1), Worker("b")], tmp_path) as world:
            assert whole(await world.answer())

    run(scenario())


def test_without_a_queue_the_overload_of_all_is_told_as_it_is_and_the_router_is_left_alone(tmp_path):
    async def scenario():
        worker = Worker("a", [("refuse", Reason.OVERLOADED)])
        async with World([worker], tmp_path, waiting=WaitLimits(wait_seconds_max=0)) as world:
            _, error = await world.failure()
            assert (error.reason, error.http_status, error.retry_after_seconds) == (Reason.OVERLOADED, 429, 2.0)
            assert len(world.router.places) == 1

    run(scenario())


def test_a_used_up_plan_is_asked_for_again_without_the_failed(tmp_path):
    async def scenario():
        async with World([Worker("a", [("die", 2)]), Worker("b")], tmp_path) as world:
            world.router.plan_size = 1
            assert whole(await world.answer())
            assert [list(request.exclude_workers) for request, _ in world.router.places] == [[], ["a"]]

    run(scenario())


def test_a_lost_connection_to_the_only_worker_leads_back_to_it_but_a_death_does_not(tmp_path):
    async def scenario():
        async with World([Worker("a", [("disconnect", 2)])], tmp_path) as world:
            assert whole(await world.answer())
            assert world.attempts() == [("a", 0), ("a", 1)]
        async with World([Worker("a", [("die", 2)])], tmp_path) as world:
            _, error = await world.failure()
            assert error.reason is Reason.STREAM_INTERRUPTED
            assert len(world.attempts()) == 1

    run(scenario())


def test_resume_stays_on_the_same_digest(tmp_path):
    async def scenario():
        async with World([Worker("a", [("die", 2)]), Worker("b")], tmp_path) as world:
            world.router.plan_size = 1
            stream = world.stream()
            await anext(stream)
            world.router.digest = "digest-2"
            world.router.changed.set()
            with pytest.raises(PlatformError) as caught:
                async for _ in stream:
                    pass
            assert caught.value.reason is Reason.STREAM_INTERRUPTED
            assert not world.workers["b"].requests

    run(scenario())


def test_a_router_that_names_workers_of_another_digest_is_not_followed(tmp_path):
    async def scenario():
        async with World([Worker("a"), Worker("b")], tmp_path) as world:
            world.router.careless = True
            world.router.digest = "digest-2"
            _, error = await world.failure()
            assert error.reason is Reason.NO_WORKER
            assert not world.attempts()

    run(scenario())


def test_an_answer_at_its_limit_whose_finish_was_lost_is_interrupted(tmp_path):
    async def scenario():
        async with World([Worker("a", [("lose the finish", 5)]), Worker("b")], tmp_path) as world:
            events, error = await world.failure()
            assert len(tokens(events)) == 6
            assert error.reason is Reason.STREAM_INTERRUPTED
            assert not world.workers["b"].requests

    run(scenario())


def test_a_batch_that_breaks_before_anything_was_sent_leaves_no_trace(tmp_path, monkeypatch):
    one_by_one = InMemoryStream.next_batch

    async def in_pairs(self):
        return await one_by_one(self) + await one_by_one(self)

    monkeypatch.setattr(InMemoryStream, "next_batch", in_pairs)

    async def scenario():
        async with World([Worker("a", [("hole", 1)]), Worker("b")], tmp_path) as world:
            assert whole(await world.answer())
            assert world.record.completion_tokens == 6

    run(scenario())


def test_with_nothing_sent_another_digest_will_do(tmp_path):
    async def scenario():
        first = Worker("a", [("die", 0)])
        async with World([first, Worker("b")], tmp_path) as world:
            world.router.plan_size = 1
            first.pace = 1.0
            place = world.router.place

            async def roll_out_then_place(request, info):
                if world.router.places:
                    world.router.digest = "digest-2"
                    world.router.changed.set()
                return await place(request, info)

            world.router.place = roll_out_then_place
            world.router_channel._dispatcher._handlers.update({h.method.path: h for h in world.router.handlers()})
            assert whole(await world.answer())
            ((request, _),) = world.workers["b"].requests
            assert request.model_digest == "digest-2"

    run(scenario())


@pytest.mark.parametrize(
    ("lacking", "request_"),
    [
        ({"resume": None}, ask()),
        ({"resume": 2}, ask()),
        ({"resume_guided": None}, ask(guided=Guided(json_object=True))),
        ({"resume_guided": None}, ask(**TOOLS)),
        ({"resume_penalties": None}, ask(sampling=Sampling(max_tokens=6, presence_penalty=0.5))),
        ({"resume_penalties": None}, ask(sampling=Sampling(max_tokens=6, repetition_penalty=1.2))),
        ({}, ask(sampling=Sampling(max_tokens=6, min_tokens=2, stop=("x",)))),
    ],
)
def test_what_cannot_be_rebuilt_starts_again_or_is_interrupted_but_never_silently_wrong(tmp_path, lacking, request_):
    async def scenario():
        for at in (0, 2):
            async with World([Worker("a", [("die", at)]), Worker("b")], tmp_path) as world:
                world.router.capabilities = capable(**lacking)
                world.router.changed.set()
                await world.clock.sleep(0.1)
                if at == 0:
                    assert whole(await world.answer(request_))
                else:
                    events, error = await world.failure(request_)
                    assert error.reason is Reason.STREAM_INTERRUPTED
                    assert len(tokens(events)) == 2
                    assert not world.workers["b"].requests

    run(scenario())


@pytest.mark.parametrize(
    "request_",
    [
        ask(guided=Guided(json_object=True)),
        ask(**TOOLS),
        ask(sampling=Sampling(max_tokens=6, frequency_penalty=0.5)),
        ask(sampling=Sampling(max_tokens=6, logprobs=3)),
        ask(sampling=Sampling(max_tokens=6, stop=("x",))),
        ask(sampling=Sampling(max_tokens=6, min_tokens=4)),
    ],
)
def test_engines_that_can_rebuild_go_on(tmp_path, request_):
    async def scenario():
        async with World([Worker("a", [("die", 2)]), Worker("b")], tmp_path) as world:
            assert whole(await world.answer(request_))
            ((request, _),) = world.workers["b"].requests
            assert request.sampling.min_tokens == max(0, request_.sampling.min_tokens - 2)

    run(scenario())


def test_a_seeded_stream_that_was_resumed_is_marked(tmp_path):
    async def scenario():
        async with World([Worker("a", [("die", 2)]), Worker("b")], tmp_path) as world:
            events = await world.answer(ask(sampling=Sampling(max_tokens=6, seed=7)))
            assert events[-1].resumed
            assert not world.record.reproducible
        async with World([Worker("a", [("die", 0)]), Worker("b")], tmp_path) as world:
            events = await world.answer(ask(sampling=Sampling(max_tokens=6, seed=7)))
            assert not events[-1].resumed
            assert world.record.reproducible

    run(scenario())


@pytest.mark.parametrize("at", range(1, 12))
def test_all_choices_go_on_together(tmp_path, at):
    async def scenario():
        async with World([Worker("a", [("die", at)]), Worker("b")], tmp_path) as world:
            events = await world.answer(ask(sampling=Sampling(max_tokens=6, n=2)))
            assert whole(events, choice=0)
            assert whole(events, choice=1)
            assert events[-1].completion_tokens == 12
            ((request, _),) = world.workers["b"].requests
            first, second = request.resume.choices
            assert (len(first.token_ids), len(second.token_ids)) == ((at + 1) // 2, at // 2)
            assert first.finished is (at == 11)
            assert second.max_tokens == 6 - at // 2

    run(scenario())


def test_a_late_delta_of_another_attempt_is_dropped_and_counted(tmp_path):
    async def scenario():
        async with World([Worker("a", [("stale", 2)])], tmp_path) as world:
            assert whole(await world.answer())
            assert world.record.stale_deltas == 1

    run(scenario())


@pytest.mark.parametrize("fault", ["hole", "repeat", "stop short", "fail"])
def test_a_broken_stream_is_interrupted_never_patched(tmp_path, fault):
    async def scenario():
        async with World([Worker("a", [(fault, 2)]), Worker("b")], tmp_path) as world:
            events, error = await world.failure()
            assert error.reason is Reason.STREAM_INTERRUPTED
            assert tokens(events) == [100, 101]
            assert not world.workers["b"].requests

    run(scenario())


def test_a_failure_with_nothing_sent_is_retried_within_the_budget(tmp_path, monkeypatch):
    async def scenario():
        async with World([Worker("a", [("fail", 0)]), Worker("b")], tmp_path) as world:
            assert whole(await world.answer())
        monkeypatch.setattr(RetryBudget, "take", lambda self: False)
        async with World([Worker("a", [("fail", 0)]), Worker("b")], tmp_path) as world:
            events, error = await world.failure()
            assert (error.reason, events) == (Reason.INTERNAL, [])
            assert not world.workers["b"].requests
        # Evacuations and refusals stand outside the budget.
        script = [("die", 2)]
        async with World([Worker("a", script), Worker("b", [("refuse", Reason.DRAINING)]), Worker("c")], tmp_path) as w:
            assert whole(await w.answer())

    run(scenario())


def test_the_budget_bounds_a_storm_of_failures(tmp_path):
    async def scenario():
        async with World(
            [Worker("a", [("fail", 0)] * 50), Worker("b", [("fail", 0)] * 50)], tmp_path, breakers=NEVER
        ) as world:
            for _ in range(40):
                await world.failure()
            assert world.seen.records[0].attempts == 2
            assert world.record.attempts == 1

    run(scenario())


def test_a_bad_request_is_told_and_not_tried_elsewhere(tmp_path):
    async def scenario():
        async with World([Worker("a", [("refuse", Reason.INVALID_SCHEMA)]), Worker("b")], tmp_path) as world:
            _, error = await world.failure()
            assert (error.reason, error.http_status) == (Reason.INVALID_SCHEMA, 400)
            assert not world.workers["b"].requests

    run(scenario())


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_that_refuse_the_gateway_say_nothing_about_the_clients_key(tmp_path, workers):
    async def scenario():
        refusing = [Worker(name, [("refuse", Reason.INVALID_API_KEY)]) for name in "abc"[:workers]]
        async with World(refusing, tmp_path) as world:
            _, error = await world.failure()
            assert (error.reason, error.http_status) == (Reason.INTERNAL, 500)

    run(scenario())


def test_the_record_tells_the_whole_story(tmp_path):
    async def scenario():
        workers = [Worker("a", [("refuse", Reason.DRAINING)]), Worker("b", [("die", 2)]), Worker("c")]
        async with World(workers, tmp_path) as world:
            await world.answer()
            record = world.record
            assert [(p.worker, p.outcome, p.reason) for p in record.past] == [
                ("a", "not_started", "DRAINING"), ("b", "lost", "WORKER_LOST"),
            ]  # fmt: skip
            assert (record.worker, record.attempts, record.resumes, record.error) == ("c", 3, 1, "")
            assert record.reprefill_tokens == record.prompt_tokens - 3

    run(scenario())
