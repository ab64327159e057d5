"""How a call is dropped: the client goes, or the time is over."""

from __future__ import annotations

import asyncio

import pytest

from libs.errors import Reason
from libs.testing.loop import run
from tests.unit.services.gateway.usecases.world import (
    Worker,
    World,
)


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come to that")


def reading(world, **kwargs):
    async def read():
        async for _ in world.stream(**kwargs):
            pass

    return asyncio.get_running_loop().create_task(read())


async def gone(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("at", [0, 2])
def test_a_client_that_goes_away_aborts_the_worker_before_the_first_token_and_after(tmp_path, at):
    async def scenario():
        worker = Worker("a", [("hang", at)])
        async with World([worker], tmp_path) as world:
            task = reading(world)
            await until(lambda: worker.requests)
            before = world.clock.monotonic()
            await gone(task)
            assert worker.cancelled == 1
            assert world.clock.monotonic() == before
            assert world.record.error == "CANCELLED"

    run(scenario())


def test_closing_the_iterator_between_two_steps_aborts_the_worker(tmp_path):
    async def scenario():
        worker = Worker("a", [("hang", 2)])
        async with World([worker], tmp_path) as world:
            stream = world.stream()
            await anext(stream)
            await stream.aclose()
            assert worker.cancelled == 1
            assert world.record.error == "CANCELLED"

    run(scenario())


def test_a_whole_answer_cancels_nothing(tmp_path):
    async def scenario():
        worker = Worker("a")
        async with World([worker], tmp_path) as world:
            await world.answer()
            assert worker.cancelled == 0

    run(scenario())


def test_a_client_may_go_while_the_router_thinks_or_the_tokenizer_comes(tmp_path):
    async def scenario():
        worker = Worker("a")
        async with World([worker], tmp_path) as world:
            worker.hold_fetch = asyncio.Event()
            task = reading(world)
            await until(lambda: worker.fetched)
            await gone(task)
            worker.hold_fetch.set()
            world.router.hold = asyncio.Event()
            task = reading(world)
            await until(lambda: world.router.places)
            await gone(task)
            assert not worker.requests
            assert [record.error for record in world.seen.records] == ["CANCELLED"] * 2

    run(scenario())


def test_every_hop_gets_what_is_left(tmp_path):
    async def scenario():
        first, second = Worker("a", [("die", 2)]), Worker("b")
        first.pace = second.pace = 1.0
        async with World([first, second], tmp_path) as world:
            began = world.clock.monotonic()
            await world.answer(seconds=30)
            place = world.router.places[0][1]
            assert place.deadline - began == pytest.approx(2.0, abs=0.05)
            deadlines = [worker.requests[0][1].deadline - began for worker in (first, second)]
            assert deadlines == pytest.approx([29.9, 29.9], abs=0.05)

    run(scenario())


def test_a_call_out_of_time_ends_with_504_wherever_it_is(tmp_path):
    async def scenario():
        for at, sent in ((0, 0), (2, 2)):
            worker = Worker("a", [("hang", at)])
            async with World([worker, Worker("b")], tmp_path) as world:
                began = world.clock.monotonic()
                events, error = await world.failure(seconds=5)
                assert (error.reason, error.http_status) == (Reason.DEADLINE_EXCEEDED, 504)
                assert world.clock.monotonic() - began == pytest.approx(4.9, abs=0.05)
                assert len(events) == (sent + 1 if sent else 0)
                assert not world.workers["b"].requests
        async with World([Worker("a")], tmp_path) as world:
            _, error = await world.failure(seconds=0.05)
            assert error.reason is Reason.DEADLINE_EXCEEDED
            assert not world.workers["a"].requests

    run(scenario())
