"""Whole calls past workers that fail, hang or are slow: who is tried, what the client is told, and how soon."""

from __future__ import annotations

import asyncio

import pytest

from libs.errors import PlatformError, Reason
from libs.resilience.breaker import BreakerRule
from libs.testing.loop import run
from services.gateway.domain.turns import SessionClaim
from services.gateway.usecases.waiting import WaitLimits
from tests.unit.services.gateway.usecases.world import Worker, World, ask, whole

RULE = BreakerRule(failures_in_a_row=3, calls_min=6, open_seconds=1.0, jitter=0.0)
BOUND = SessionClaim(explicit="s1", source="x-session-id")


def world_of(workers, tmp_path, **options):
    return World(workers, tmp_path, breakers=RULE, **options)


async def broken(world, *names):
    """Calls until these workers' breakers are open."""
    for name in names:
        world.workers[name].channel.lose()
    for _ in range(4):
        with_error = world.stream(ask())
        try:
            async for _batch in with_error:
                pass
        except PlatformError:
            continue


async def warm(world):
    """Every worker's channel exists."""
    for name in world.workers:
        others, world.router.workers = world.router.workers, [world.workers[name]]
        assert whole(await world.answer())
        world.router.workers = others


def requests(world):
    return {name: len(worker.requests) for name, worker in world.workers.items()}


def test_a_worker_that_cannot_be_reached_is_left_alone_and_its_being_left_is_no_attempt(tmp_path):
    async def scenario():
        async with world_of([Worker("a"), Worker("b")], tmp_path) as world:
            await warm(world)
            world.workers["a"].channel.lose()
            attempts = [(await world.answer())[-1].attempts for _ in range(8)]
            assert attempts == [2, 2, 2, 1, 1, 1, 1, 1]
            assert [list(place.exclude_workers) for place, _ in world.router.places[-2:]] == [[], ["a"]]

    run(scenario())


@pytest.mark.parametrize("names", ["a", "ab"])
def test_when_all_are_left_alone_the_client_hears_at_once_when_to_come_again(tmp_path, names):
    async def scenario():
        async with world_of([Worker(name) for name in names], tmp_path) as world:
            await warm(world)
            await broken(world, *names)
            before, places, held = requests(world), len(world.router.places), len(world.ledger.settled)
            began = world.clock.monotonic()
            for _ in range(5):
                _, error = await world.failure()
                assert (error.reason, error.http_status, error.started) == (Reason.NO_WORKER, 503, False)
                assert error.retry_after_seconds == 1.0
                assert world.record.attempts == 0
            assert world.clock.monotonic() == began
            assert requests(world) == before
            # The first has asked, and the catalog has nobody whom the router did not name.
            assert len(world.router.places) <= places + 1
            assert len(world.ledger.settled) <= held + 1

    run(scenario())


def test_one_call_probes_and_the_others_are_told_to_come_again(tmp_path):
    async def scenario():
        async with world_of([Worker("a")], tmp_path) as world:
            await warm(world)
            await broken(world, "a")
            world.workers["a"].channel.restore()
            world.workers["a"].pace = 0.1
            await asyncio.sleep(1.0)
            ended = await asyncio.gather(*[world.answer(request_id=f"r{i}") for i in range(10)], return_exceptions=True)
            assert [type(each) for each in ended].count(list) == 1
            assert {each.reason for each in ended if isinstance(each, PlatformError)} == {Reason.NO_WORKER}
            assert whole(await world.answer())

    run(scenario())


def test_a_probe_whose_caller_goes_away_leaves_its_place(tmp_path):
    async def scenario():
        async with world_of([Worker("a")], tmp_path) as world:
            await warm(world)
            await broken(world, "a")
            world.workers["a"].channel.restore()
            await asyncio.sleep(1.0)
            stream = world.stream()
            assert await anext(stream)
            await stream.aclose()
            assert whole(await world.answer())

    run(scenario())


def test_a_failed_probe_costs_one_attempt_and_doubles_the_pause(tmp_path):
    async def scenario():
        async with world_of([Worker("a")], tmp_path) as world:
            await warm(world)
            await broken(world, "a")
            waits = []
            for _ in range(4):
                _, error = await world.failure()
                waits.append(error.retry_after_seconds)
                await asyncio.sleep(error.retry_after_seconds)
                _, error = await world.failure()
                assert world.record.attempts == 1
            assert waits == pytest.approx([1, 2, 4, 8])

    run(scenario())


def test_a_new_life_of_a_worker_starts_with_a_closed_breaker(tmp_path):
    async def scenario():
        async with world_of([Worker("a")], tmp_path) as world:
            await warm(world)
            await broken(world, "a")
            world.workers["a"].channel.restore()
            world.workers["a"].boot_id = "another life"
            # Long before the breaker of the life before would let a probe through.
            await asyncio.sleep(0.25)
            assert whole(await world.answer())

    run(scenario())


def test_an_engine_that_says_it_is_dead_is_believed_at_once(tmp_path):
    async def scenario():
        async with world_of([Worker("a", [("engine", 0)]), Worker("b")], tmp_path) as world:
            assert (await world.answer())[-1].attempts == 2
            assert (await world.answer())[-1].attempts == 1
            assert requests(world) == {"a": 1, "b": 2}

    run(scenario())


def test_a_provider_that_names_a_time_is_left_alone_until_then(tmp_path):
    async def scenario():
        provider = Worker("a", [("refuse", Reason.UPSTREAM_ERROR)])
        async with world_of([provider, Worker("b")], tmp_path) as world:
            assert (await world.answer())[-1].attempts == 2
            await asyncio.sleep(1.9)
            assert (await world.answer())[-1].worker == "b"
            await asyncio.sleep(0.2)
            assert (await world.answer())[-1].worker == "a"

    run(scenario())


def test_a_pause_of_the_only_worker_is_waited_for_in_the_queue(tmp_path):
    async def scenario():
        async with world_of([Worker("a", [("refuse", Reason.OVERLOADED)])], tmp_path) as world:
            events = await world.answer()
            assert whole(events)
            assert events[-1].queued_ms >= 2000
        limits = WaitLimits(wait_seconds_max=0)
        async with world_of([Worker("a", [("refuse", Reason.OVERLOADED)])], tmp_path, waiting=limits) as world:
            await world.failure()
            _, error = await world.failure()
            assert (error.reason, error.http_status) == (Reason.OVERLOADED, 429)
            assert error.retry_after_seconds == pytest.approx(2.0)
            assert len(world.workers["a"].requests) == 1

    run(scenario())


def test_a_bound_session_goes_elsewhere_while_its_worker_is_left_alone_and_then_back(tmp_path):
    async def scenario():
        async with world_of([Worker("a"), Worker("b"), Worker("c")], tmp_path) as world:
            world.router.reason = "bound"
            await warm(world)
            await broken(world, "a")
            assert (await world.answer(ask(session=BOUND)))[-1].worker == "b"
            world.workers["a"].channel.restore()
            await asyncio.sleep(1.0)
            assert (await world.answer(ask(session=BOUND)))[-1].worker == "a"

    run(scenario())
