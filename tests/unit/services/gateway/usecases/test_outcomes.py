"""What whole calls make the router hear: sums per life of a worker, model and variant."""

from __future__ import annotations

import asyncio

import pytest

from libs.errors import Reason
from libs.testing.loop import run
from services.gateway.adapters.outcome_reports import INTERVAL_SECONDS
from services.gateway.domain.attempts import Outcome, PastAttempt
from services.gateway.domain.outcomes import BUCKETS, OutcomeSums, failed
from services.gateway.domain.record import CallRecord
from services.gateway.domain.route import Choice, Route
from services.gateway.domain.turns import SessionClaim
from services.gateway.usecases import outcomes
from services.gateway.usecases.outcomes import OutcomeLog
from tests.unit.services.gateway.usecases.world import Worker, World, ask, whole

BOUND = SessionClaim(explicit="s1", source="x-session-id")


async def told(world):
    """What the router has heard after the next report, by worker."""
    await asyncio.sleep(1.1 * INTERVAL_SECONDS)
    heard, world.router.reports = world.router.reports, []
    return {each.worker: each for request in heard for each in request.outcomes}


def test_an_answer_is_told_with_how_long_its_first_token_took(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            assert whole(await world.answer())
            first = (await told(world))["a"]
            return first, await told(world)

    first, nothing = run(scenario())
    assert (first.boot_id, first.model, first.attempts, first.failures, first.refusals) == ("boot", "m", 1, 0, 0)
    assert sum(first.ttft_buckets) == 1
    assert not nothing, "without news nobody is told anything"


@pytest.mark.parametrize(
    ("fault", "failures", "refusals"),
    [
        (("die", 0), 1, 0),
        (("die", 3), 1, 0),
        (("engine", 2), 1, 0),
        (("fail", 0), 1, 0),
        (("drain", 2), 0, 0),
        (("refuse", Reason.OVERLOADED), 0, 1),
        (("refuse", Reason.DRAINING), 0, 1),
    ],
)
def test_a_failure_counts_against_its_worker_and_the_answer_for_the_other(tmp_path, fault, failures, refusals):
    async def scenario():
        async with World([Worker("a", [fault]), Worker("b")], tmp_path) as world:
            assert whole(await world.answer())
            return await told(world)

    heard = run(scenario())
    assert (heard["a"].attempts, heard["a"].failures, heard["a"].refusals) == (1, failures, refusals)
    assert (heard["b"].attempts, heard["b"].failures, heard["b"].refusals) == (1, 0, 0)


def test_a_caller_that_leaves_is_no_failure(tmp_path):
    async def scenario():
        worker = Worker("a")
        worker.pace = 1.0
        async with World([worker], tmp_path) as world:
            stream = world.stream()
            await anext(stream)
            await stream.aclose()
            return (await told(world))["a"]

    heard = run(scenario())
    assert (heard.attempts, heard.failures) == (1, 0)


def test_what_was_foretold_is_compared_with_what_the_engine_found(tmp_path):
    async def scenario():
        async with World([Worker("a"), Worker("b")], tmp_path) as world:
            world.router.predicted = {"a": 5}
            for number in range(2):
                assert whole(await world.answer(request_id=f"r{number}"))
            assert world.record.route.predicted == 5
            return (await told(world))["a"]

    heard = run(scenario())
    assert (heard.predictions, heard.cached_tokens_predicted, heard.cached_tokens_reported) == (2, 10, 6)


def test_another_worker_than_was_meant_proves_nothing(tmp_path):
    async def scenario():
        async with World([Worker("a", [("die", 0)]), Worker("b")], tmp_path) as world:
            world.router.predicted = {"a": 5, "b": 6}
            assert whole(await world.answer())
            assert world.record.route.predicted == 5
            return await told(world)

    heard = run(scenario())
    assert [each.predictions for each in heard.values()] == [0, 0]


def test_a_plan_that_is_remembered_foretells_nothing(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            world.router.predicted, world.router.reason = {"a": 5}, "bound"
            for number in range(3):
                assert whole(await world.answer(ask(session=BOUND), request_id=f"r{number}"))
            assert len(world.router.places) == 1
            assert world.record.route.predicted is None
            return (await told(world))["a"]

    heard = run(scenario())
    assert (heard.attempts, heard.predictions) == (3, 1)


def test_a_router_that_is_away_is_not_told_later(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            assert whole(await world.answer())
            world.router_channel.lose()
            await asyncio.sleep(2 * INTERVAL_SECONDS)
            world.router_channel.restore()
            return await told(world)

    assert not run(scenario())


def record(past=(), **fields):
    return CallRecord("r", "t", "m", worker="a", boot_id="b1", past=list(past), **fields)


def lost(worker, model=""):
    return PastAttempt(worker, f"{worker}:1", "b1", Outcome.DEATH, Reason.WORKER_LOST, model=model)


def test_each_attempt_goes_to_the_variant_that_it_was_made_for():
    log = OutcomeLog()
    route = Route("pool", (Choice("old", "variant", variant="v1"), Choice("new", "variant", variant="v2")), used=1)
    ended = record([lost("x", model="old")], route=route)
    ended.model = "new"
    log.ended(ended)
    assert [(key.worker, key.model, key.variant) for key in log.take()] == [("x", "old", "v1"), ("a", "new", "v2")]


def test_the_attempt_that_an_error_ended_is_counted_once():
    log = OutcomeLog()
    log.ended(record([lost("x"), lost("a")], error="WORKER_LOST"))
    assert [(key.worker, sums.attempts, sums.failures) for key, sums in log.take().items()] == [
        ("x", 1, 1),
        ("a", 1, 1),
    ]


def test_a_call_that_no_worker_heard_of_is_not_told():
    log = OutcomeLog()
    log.ended(CallRecord("r", "t", "m", error="INVALID_REQUEST"))
    assert not log.take()


@pytest.mark.parametrize(
    ("milliseconds", "bucket"), [(0.0, 0), (0.9, 0), (1.0, 1), (1.9, 1), (2.0, 2), (1000.0, 10), (1e12, BUCKETS - 1)]
)
def test_first_tokens_are_counted_by_powers_of_two(milliseconds, bucket):
    sums = OutcomeSums()
    sums.count(milliseconds)
    assert [place for place, count in enumerate(sums.ttft_buckets) if count] == [bucket]


BLAMED = [
    (Outcome.NOT_STARTED, Reason.WORKER_LOST),
    (Outcome.STALL, "STALLED"),
    (Outcome.FAILED, Reason.UPSTREAM_ERROR),
]
SPARED = [
    (Outcome.NOT_STARTED, Reason.OVERLOADED),
    (Outcome.DRAIN, Reason.DRAINING),
    (Outcome.FINAL, Reason.INVALID_REQUEST),
    (Outcome.FAILED, Reason.SLOW_READER),
]


def test_who_is_to_blame():
    def blamed(pairs):
        return [failed(PastAttempt("a", "a:1", "b1", outcome, reason)) for outcome, reason in pairs]

    assert (blamed(BLAMED), blamed(SPARED)) == ([True] * 3, [False] * 4)


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(outcomes, "KEYS_MAX", 2)
    log = OutcomeLog()
    for worker in "abcb":
        ended = record()
        ended.worker = worker
        log.ended(ended)
    assert (log.untold, [sums.attempts for sums in log.take().values()]) == (1, [1, 2])
