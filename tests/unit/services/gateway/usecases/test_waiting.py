"""Calls that wait because every worker pushes back: who goes next, when, and what those are told who never do."""

from __future__ import annotations

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.domain.fair_queue import QueueBounds
from tests.unit.services.gateway.usecases.waiting_world import refusal, room


def test_a_turn_comes_when_the_refusals_time_is_over():
    async def scenario():
        async with room(jitter=0.5) as made:
            made.begin("r1", refusal(2.0))
            await made.pass_time(10)
            assert made.turns == [("r1", 2.25)]

    run(scenario())


def test_a_refusal_without_a_time_is_tried_again_after_the_default():
    async def scenario():
        async with room(retry_seconds=0.5) as made:
            made.begin("r1", refusal())
            await made.pass_time(10)
            assert made.turns == [("r1", 0.5)]

    run(scenario())


def test_a_running_call_that_ends_wakes_one():
    async def scenario():
        async with room() as made:
            made.run(model="another model")
            made.run()
            made.begin("r1", refusal(20.0))
            made.begin("r2", refusal(20.0))
            await made.pass_time(1)
            made.end()
            await made.pass_time(1)
            assert made.turns == []
            made.end()
            await made.pass_time(1)
            assert made.turns == [("r1", 2.0)]

    run(scenario())


def test_who_is_served_makes_way_for_the_next_and_who_is_refused_does_not():
    async def scenario():
        async with room() as made:
            for name in ("r1", "r2", "r3"):
                made.begin(name, refusal(5.0))
            await made.pass_time(5.1)
            assert made.names() == ["r1"]
            made.served("r1")
            await made.pass_time(0)
            assert made.names() == ["r1", "r2"]
            made.begin("r2", refusal(5.0))
            await made.pass_time(4)
            assert made.names() == ["r1", "r2"]
            await made.pass_time(1.2)
            assert made.names() == ["r1", "r2", "r2"]

    run(scenario())


def test_without_refusals_time_alone_gives_more_and_more_turns():
    async def scenario():
        async with room(retry_seconds=1.0) as made:
            for number in range(7):
                made.begin(f"r{number}", refusal(1.0))
            await made.pass_time(3.5)
            assert [at for _, at in made.turns] == [1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0]

    run(scenario())


def test_new_calls_queue_up_behind_those_who_wait():
    async def scenario():
        async with room() as made:
            assert not made.room.has_queue("m")
            made.run()
            made.begin("r1", refusal(5.0))
            await made.pass_time(0)
            assert made.room.has_queue("m")
            assert made.room.enter("m", "acme") is None
            assert not made.room.has_queue("another")
            made.run(model="another")
            made.begin("r2")
            await made.pass_time(0)
            made.end()
            await made.pass_time(0)
            assert made.names() == ["r1"]
            made.served("r1")
            await made.pass_time(0)
            assert made.names() == ["r1", "r2"]

    run(scenario())


def test_another_tenants_single_call_does_not_wait_for_the_crowd():
    async def scenario():
        async with room() as made:
            made.run(2)
            for number in range(100):
                made.begin(f"crowd-{number}", refusal(20.0), tenant="crowd")
            await made.pass_time(0)
            made.begin("alone", tenant="alone")
            await made.pass_time(0)
            for _ in range(2):
                made.end()
            await made.pass_time(0)
            assert "alone" in made.names()

    run(scenario())


def test_who_waits_too_long_is_told_how_long_and_when_to_come_back():
    async def scenario():
        async with room(wait_seconds_max=30.0) as made:
            late = made.begin("r1", refusal(30.0))
            await made.pass_time(1)
            made.begin("r2", refusal(30.0))
            with pytest.raises(PlatformError) as caught:
                await late
            error = caught.value
            assert (error.reason, error.http_status, error.started) == (Reason.OVERLOADED, 429, False)
            assert error.retry_after_seconds >= 1.0
            assert "waited 30.0 s" in error.message
            assert "1 calls wait" in error.message
            assert made.told.refusals[0] == "late"
            assert made.told.waits[0] == ("refused", 30.0)

    run(scenario())


def test_the_callers_own_deadline_ends_the_wait_earlier():
    async def scenario():
        async with room() as made:
            late = made.begin("r1", refusal(20.0), seconds=3.0)
            with pytest.raises(PlatformError) as caught:
                await late
            assert caught.value.reason is Reason.OVERLOADED
            assert made.clock.monotonic() - made.began == pytest.approx(3.0)

    run(scenario())


async def _refused_at_once(made, tenant):
    before = made.clock.monotonic()
    with pytest.raises(PlatformError) as caught:
        await made.room.wait(made.call(tenant=tenant), None)
    assert (caught.value.reason, made.clock.monotonic()) == (Reason.OVERLOADED, before)
    assert caught.value.retry_after_seconds >= 1.0


def test_a_full_queue_refuses_at_once():
    async def scenario():
        async with room(bounds=QueueBounds(waiting_max=2, tenant_max=1)) as made:
            made.begin("r1", refusal(20.0))
            await made.pass_time(0)
            await _refused_at_once(made, "acme")
            made.begin("r2", tenant="b")
            await made.pass_time(0)
            await _refused_at_once(made, "c")
            assert made.told.refusals == ["full", "full"]

    run(scenario())


def test_a_refusal_that_outlasts_any_wait_is_told_at_once():
    async def scenario():
        async with room(wait_seconds_max=30.0) as made:
            with pytest.raises(PlatformError) as caught:
                await made.room.wait(made.call(), refusal(60.0), made.room.enter("m", "acme"))
            assert caught.value.retry_after_seconds == 60.0

    run(scenario())


def test_a_caller_that_goes_away_leaves_the_queue_at_once():
    async def scenario():
        async with room() as made:
            task = made.begin("r1", refusal(20.0))
            await made.pass_time(1)
            assert len(made.room) == 1
            task.cancel()
            await made.pass_time(0)
            assert len(made.room) == 0
            assert not made.room.has_queue("m")
            assert made.told.waits == [("gone", 1.0)]

    run(scenario())


def test_a_turn_that_its_caller_cannot_use_goes_to_the_next():
    async def scenario():
        async with room() as made:
            made.run()
            first = made.begin("r1", refusal(20.0))
            made.begin("r2", refusal(20.0))
            await made.pass_time(1)
            made.end()
            first.cancel()
            await made.pass_time(0)
            assert made.names() == ["r2"]

    run(scenario())


def test_a_call_that_fails_in_its_turn_makes_way():
    async def scenario():
        async with room() as made:
            made.run()
            made.begin("r1", refusal(20.0))
            made.begin("r2", refusal(20.0))
            await made.pass_time(1)
            made.end()
            await made.pass_time(0)
            made.end(made.tickets["r1"])
            await made.pass_time(0)
            assert made.names() == ["r1", "r2"]

    run(scenario())
