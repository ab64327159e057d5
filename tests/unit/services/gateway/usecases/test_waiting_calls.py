"""Limit and queue as calls meet them, through the pipeline."""

from __future__ import annotations

import asyncio

from libs.errors import Reason
from libs.resilience.limiter import LimiterRule
from libs.testing.loop import run
from services.gateway.domain.turns import Principal
from services.gateway.usecases.waiting import WaitLimits
from tests.unit.services.gateway.usecases.world import Worker, World, ask, whole

FULL = ("refuse", Reason.OVERLOADED)


def test_a_call_waits_until_its_worker_has_room_and_says_so(tmp_path):
    async def scenario():
        async with World([Worker("a", [FULL, FULL]), Worker("b", [FULL])], tmp_path) as world:
            events = await world.answer()
            assert whole(events)
            # The workers' refusals name 2 s; "a" refuses twice.
            assert 2000 <= events[-1].queued_ms <= 5000
            assert world.record.queued_ms == events[-1].queued_ms
            assert world.record.error == ""
            assert [worker for worker, _ in world.attempts()] == ["a", "b", "a", "b"]

    run(scenario())


def test_a_call_that_never_gets_room_is_429(tmp_path):
    async def scenario():
        async with World([Worker("a", [FULL] * 99)], tmp_path) as world:
            events, error = await world.failure()
            assert (events, error.reason) == ([], Reason.OVERLOADED)
            assert "waited 30.0 s" in error.message
            assert 29_000 <= world.record.ended_at * 1000 - world.record.started_at * 1000 <= 31_000

    run(scenario())


def test_calls_that_come_later_do_not_overtake(tmp_path):
    async def scenario():
        worker = Worker("a", [FULL])
        async with World([worker], tmp_path) as world:
            first = asyncio.create_task(world.answer(request_id="first"))
            await asyncio.sleep(1)
            second = asyncio.create_task(world.answer(request_id="second"))
            await asyncio.gather(first, second)
            order = [request.call_seed for request, _ in worker.requests]
            assert order == ["first", "first", "second"]

    run(scenario())


def test_the_end_of_a_running_call_wakes_one_that_waits(tmp_path):
    async def scenario():
        worker = Worker("a", [("", 0), ("refuse", Reason.OVERLOADED)])
        worker.pace = 0.2
        async with World([worker], tmp_path) as world:
            running = asyncio.create_task(world.answer(request_id="running"))
            await asyncio.sleep(0.1)
            events = await world.answer(request_id="waiting")
            await running
            assert events[-1].queued_ms < 1500

    run(scenario())


def test_a_stream_that_lost_its_worker_waits_for_room_elsewhere(tmp_path):
    async def scenario():
        async with World([Worker("a", [("die", 2)]), Worker("b", [FULL])], tmp_path) as world:
            events = await world.answer()
            assert whole(events)
            assert events[-1].resumed
            assert events[-1].queued_ms > 0

    run(scenario())


def test_a_stream_that_finds_no_room_elsewhere_is_interrupted(tmp_path):
    async def scenario():
        async with World([Worker("a", [("die", 2)]), Worker("b", [FULL] * 99)], tmp_path) as world:
            events, error = await world.failure()
            assert events
            assert error.reason is Reason.STREAM_INTERRUPTED

    run(scenario())


def test_a_priority_is_taken_from_the_principal(tmp_path):
    async def scenario():
        worker = Worker("a", [FULL])
        async with World([worker], tmp_path) as world:
            names = ["first", "plain", "urgent"]
            priorities = dict.fromkeys(names, 0) | {"urgent": 3}
            tasks = []
            for name in names:
                principal = Principal("acme", "key-1", priority=priorities[name])
                tasks.append(asyncio.create_task(world.answer(ask(name), principal, request_id=name)))
                await asyncio.sleep(0.1)
            await asyncio.gather(*tasks)
            order = [request.call_seed for request, _ in worker.requests]
            assert order == ["first", "urgent", "first", "plain"]

    run(scenario())


def test_a_failed_calls_place_is_free_again(tmp_path):
    async def scenario():
        waiting = WaitLimits(limiter=LimiterRule(1, 1))
        bad = Worker("a", [("refuse", Reason.INVALID_REQUEST)])
        async with World([bad], tmp_path, waiting=waiting) as world:
            _, error = await world.failure()
            assert error.reason is Reason.INVALID_REQUEST
            events = await world.answer()
            assert whole(events)
            assert events[-1].queued_ms == 0

    run(scenario())


def test_a_hopeless_call_costs_nothing(tmp_path):
    async def scenario():
        worker = Worker("a")
        worker.pace = 0.5
        waiting = WaitLimits(limiter=LimiterRule(1, 1), standing_seconds=0.1)
        async with World([worker], tmp_path, waiting=waiting) as world:
            await world.answer(request_id="first")
            tasks = [asyncio.create_task(world.answer(request_id=f"r{number}")) for number in range(3)]
            await asyncio.sleep(2)
            ended, placed = len(world.ledger.settled), len(world.router.places)
            _, error = await world.failure()
            assert (error.reason, error.http_status, error.started) == (Reason.OVERLOADED, 429, False)
            assert error.retry_after_seconds > 1
            assert (len(world.ledger.settled), len(world.router.places)) == (ended, placed)
            assert world.record.error == Reason.OVERLOADED
            assert world.record.prompt_tokens == 0
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run(scenario())
