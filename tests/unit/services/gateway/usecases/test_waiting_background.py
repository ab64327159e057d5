"""Work in the background takes places that no live call wants, and never waits for one."""

from __future__ import annotations

import pytest

from libs.errors import PlatformError, Reason
from libs.resilience.limiter import LimiterRule
from libs.testing.loop import run
from tests.unit.services.gateway.usecases.waiting_world import refusal, room, slots


def places(made, count):
    """Places that background work gets, out of so many that it asks for."""
    tickets = [made.room.enter_background("m") for _ in range(count)]
    made.running += (found := [ticket for ticket in tickets if ticket is not None])
    return len(found)


def limit_of(made):
    return made.told.pools["m"][0]()


def test_it_leaves_a_share_of_the_places_to_live_calls():
    async def scenario():
        async with room(background_share=0.75, **slots(8)) as made:
            assert places(made, 20) == 6
            # The rest is there at once for live calls, and for no more background work.
            made.run(2)
            assert places(made, 1) == 0

    run(scenario())


def test_live_calls_that_run_count_against_its_share():
    async def scenario():
        async with room(background_share=0.75, **slots(8)) as made:
            made.run(5)
            assert places(made, 20) == 1
            with pytest.raises(PlatformError) as none:
                made.room.check_background("m")
            assert (none.value.reason, none.value.started) == (Reason.OVERLOADED, False)
            assert none.value.retry_after_seconds > 0
            assert made.told.refusals == ["background"]

    run(scenario())


def test_it_gets_no_place_while_a_live_call_waits():
    async def scenario():
        async with room(background_share=1.0, **slots(2)) as made:
            made.run(2)
            made.begin("live")
            await made.pass_time(0)
            made.end()
            await made.pass_time(0)
            assert made.turns == [("live", 0.0)]
            made.begin("another")
            await made.pass_time(0)
            made.end()
            assert places(made, 1) == 0

    run(scenario())


def test_it_gets_no_place_while_workers_refuse_live_calls():
    async def scenario():
        async with room(background_share=1.0, **slots(8)) as made:
            made.begin("live", refusal(5.0))
            await made.pass_time(0)
            assert places(made, 1) == 0

    run(scenario())


def test_its_place_is_the_next_live_calls_when_it_leaves():
    async def scenario():
        async with room(background_share=1.0, **slots(2)) as made:
            assert places(made, 2) == 2
            made.begin("live")
            await made.pass_time(1)
            assert made.turns == []
            made.end()
            await made.pass_time(0)
            assert made.turns == [("live", 1.0)]
            assert made.in_flight() == 2

    run(scenario())


def test_what_it_meets_teaches_the_limit_nothing():
    async def scenario():
        async with room(background_share=1.0, **slots(4)) as made:
            assert places(made, 1) == 1
            made.end()
            limit = limit_of(made)
            for _ in range(200):
                ticket = made.room.enter_background("m")
                sent = made.clock.monotonic()
                await made.pass_time(0.1)
                # Long waits in the workers' queues would cut the limit if they were live calls'.
                made.room.served(ticket, sent, 5.0)
                made.room.leave(ticket)
            assert places(made, 20) == 4
            assert (limit_of(made), made.in_flight()) == (limit, 4)

    run(scenario())


def test_being_turned_away_asks_for_no_higher_limit():
    async def scenario():
        rule = LimiterRule(start_per_worker=4, limit_max=100)
        async with room(background_share=0.5, limiter=rule) as made:
            for _ in range(100):
                assert places(made, 5) == 2
                made.run()
                await made.pass_time(0.1)
                for _ in range(3):
                    made.end()
            assert limit_of(made) == 4

    run(scenario())
