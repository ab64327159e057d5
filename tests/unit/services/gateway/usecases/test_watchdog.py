"""Whole calls on workers that stop, hang or are slow while they run: how soon that is noticed, and what follows."""

from __future__ import annotations

import asyncio

import pytest

from libs.errors import Reason
from libs.resilience.breaker import State
from libs.testing.loop import run
from services.gateway.domain.attempts import Outcome
from services.gateway.usecases.watchdog import WatchRule
from tests.unit.services.gateway.usecases.test_breakers import world_of
from tests.unit.services.gateway.usecases.world import Worker, ask, whole


@pytest.mark.parametrize("at", [0, 3])
def test_a_stopped_worker_is_left_within_a_second_and_its_calls_go_on_elsewhere(tmp_path, at):
    async def scenario():
        stopped = Worker("a", [("hang", at)])
        async with world_of([stopped, Worker("b")], tmp_path) as world:
            stopped.frozen = True
            events = await world.answer()
            assert whole(events)
            assert events[-1].total_ms < 1000
            assert stopped.cancelled == 1
            (past,) = world.record.past
            assert (past.worker, past.reason) == ("a", "STALLED")
            assert (past.first_token_ms is None) is (at == 0)
            assert (await world.answer())[-1].attempts == 1, "its breaker is open"

    run(scenario())


@pytest.mark.parametrize("alone", [True, False])
def test_a_worker_that_lives_and_says_nothing_is_stuck_only_while_others_answer(tmp_path, alone):
    async def scenario():
        stuck, other = Worker("a", [("hang", 3)]), Worker("b")
        async with world_of([stuck, other], tmp_path) as world:
            world.router.workers = [stuck]
            call = asyncio.ensure_future(world.failure(seconds=10) if alone else world.answer())
            await asyncio.sleep(0.2)
            if alone:
                _, error = await call
                assert error.reason is Reason.DEADLINE_EXCEEDED
                return
            world.router.workers = [stuck, other]
            other.pace = 0.05
            busy = asyncio.ensure_future(_serve(world, other))
            events = await call
            assert whole(events)
            assert 2000 < events[-1].total_ms < 3500
            assert world.seen.records[-1].past[0].outcome is Outcome.STALL
            busy.cancel()

    run(scenario())


async def _serve(world, worker):
    index = 0
    while True:
        index += 1
        world.router.workers = [worker]
        stream = world.stream(ask(max_tokens=20), request_id=f"other-{index}")
        started = await anext(stream)
        world.router.workers = list(world.workers.values())
        assert started
        async for _batch in stream:
            pass


def state_of(world, worker):
    found = [guard for guard in world.breakers.of_model("m") if guard.worker == worker]
    return found[0].breaker.state if found else State.CLOSED


async def _load(world, worker, number, tokens=400):
    """Streams that run on one worker."""
    world.router.workers = [worker]
    streams = []
    for index in range(number):
        stream = world.stream(ask(max_tokens=tokens), request_id=f"{worker.name}-{index}")
        streams.append(asyncio.ensure_future(_drain(stream)))
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    return streams


async def _drain(stream):
    async for _batch in stream:
        pass


@pytest.mark.parametrize(("paces", "slow"), [((0.5, 0.02), "a"), ((0.5, 0.4), ""), ((0.05, 0.02), "")])
def test_a_worker_with_slow_tokens_beside_the_others_is_left_within_three_seconds(tmp_path, paces, slow):
    async def scenario():
        workers = [Worker("a"), Worker("b")]
        async with world_of(workers, tmp_path) as world:
            for worker, pace in zip(workers, paces, strict=True):
                worker.pace = pace
            running = [stream for worker in workers for stream in await _load(world, worker, 4)]
            await asyncio.sleep(3.0)
            states = {worker.name: state_of(world, worker.name) for worker in workers}
            assert [name for name, state in states.items() if state is State.OPEN] == ([slow] if slow else [])
            for stream in running:
                stream.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    run(scenario())


def test_slowness_alone_takes_no_more_than_half_of_the_workers(tmp_path):
    async def scenario():
        workers = [Worker(name) for name in "abcd"]
        async with world_of(workers, tmp_path) as world:
            for worker, pace in zip(workers, (0.5, 0.5, 0.02, 0.02), strict=True):
                worker.pace = pace
            running = {worker.name: await _load(world, worker, 4) for worker in workers}
            await asyncio.sleep(3.0)
            assert [state_of(world, name) for name in "abcd"] == [State.OPEN] * 2 + [State.CLOSED] * 2
            for stream in (*running["a"], *running["b"]):
                stream.cancel()
            # Its only peer that can be compared with is fast, and the other half is away.
            workers[2].pace = 0.5
            await asyncio.sleep(3.5)
            assert [state_of(world, name) for name in "cd"] == [State.CLOSED] * 2
            left = [*running["c"], *running["d"]]
            for stream in left:
                stream.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    run(scenario())


def test_first_tokens_that_take_long_beside_the_others_count_before_they_have_come(tmp_path):
    async def scenario():
        workers = [Worker("a", [("hang", 0)] * 8), Worker("b")]
        patient = WatchRule(stuck_seconds=60.0)
        async with world_of(workers, tmp_path, watch=patient) as world:
            waiting = await _load(world, workers[0], 4)
            for _ in range(20):
                waiting += await _load(world, workers[1], 1, tokens=3)
                await asyncio.sleep(0.1)
            assert state_of(world, "a") is State.OPEN
            assert state_of(world, "b") is State.CLOSED
            for stream in waiting:
                stream.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    run(scenario())


def test_a_long_prompt_may_take_its_time_to_begin(tmp_path):
    async def scenario():
        workers = [Worker("a", [("hang", 0)] * 8), Worker("b")]
        async with world_of(workers, tmp_path, watch=WatchRule(stuck_seconds=2.3)) as world:
            # Some thousand tokens that nobody has cached, at the pace that is assumed before anything was measured.
            long = ask("hello there " * 1000)
            call = asyncio.ensure_future(world.failure(long, seconds=4.0))
            await asyncio.sleep(0.01)
            others = await _load(world, workers[1], 1, tokens=3)
            workers[1].pace = 0.05
            others += await _load(world, workers[1], 2, tokens=100)
            _, error = await call
            assert error.reason is Reason.DEADLINE_EXCEEDED
            assert state_of(world, "a") is State.CLOSED
            await asyncio.gather(*others)

    run(scenario())


def test_a_client_that_does_not_read_holds_nobody_up_but_itself(tmp_path):
    async def scenario():
        reading = WatchRule(gap_seconds=1.0)
        async with world_of([Worker("a")], tmp_path, watch=reading) as world:
            world.workers["a"].frozen = True
            stream = world.stream()
            assert await anext(stream)
            await asyncio.sleep(10)
            async for _batch in stream:
                pass
            assert world.record.error == ""
            assert state_of(world, "a") is State.CLOSED

    run(scenario())


def test_one_call_without_a_word_beyond_the_absolute_limit_is_given_up(tmp_path):
    async def scenario():
        rule = WatchRule(first_token_seconds=5.0, gap_seconds=3.0)
        async with world_of([Worker("a", [("hang", 2)]), Worker("b")], tmp_path, watch=rule) as world:
            events = await world.answer()
            assert whole(events)
            assert 3000 < events[-1].total_ms < 3500
        async with world_of([Worker("a", [("hang", 0)]), Worker("b")], tmp_path, watch=rule) as world:
            events = await world.answer()
            assert 5000 < events[-1].total_ms < 5500

    run(scenario())


def test_two_stalls_are_enough_for_one_request(tmp_path):
    async def scenario():
        rule = WatchRule(gap_seconds=3.0)
        workers = [Worker("a", [("hang", 2)]), Worker("b", [("hang", 2)]), Worker("c")]
        async with world_of(workers, tmp_path, watch=rule) as world:
            _, error = await world.failure()
            assert error.reason is Reason.STREAM_INTERRUPTED
            assert not world.workers["c"].requests

    run(scenario())


def test_time_in_which_the_gateway_itself_stood_still_is_no_workers_silence(tmp_path):
    async def scenario():
        worker = Worker("a")
        worker.pace = 0.05
        async with world_of([worker, Worker("b")], tmp_path, watch=WatchRule(gap_seconds=2.0)) as world:
            worker.frozen = True
            stream = world.stream(ask(max_tokens=100))
            assert await anext(stream)
            waits = asyncio.ensure_future(_drain(stream))
            await asyncio.sleep(0.3)
            world.clock.advance(5.0)
            await waits
            assert world.record.past == []

    run(scenario())
