"""Calls beyond the limit: who waits, who is refused at the door, who makes way for whom; and no place is ever lost."""

from __future__ import annotations

import asyncio
import random

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.domain.fair_queue import QueueBounds
from services.gateway.usecases.waiting import QueuedCall
from tests.unit.services.gateway.usecases.waiting_world import refusal, room, slots


async def _learnt(made, seconds, places):
    """All places have calls that take so long."""
    made.run()
    await made.pass_time(seconds)
    made.end()
    made.run(places)


def test_calls_beyond_the_limit_wait_and_go_as_places_become_free():
    async def scenario():
        async with room(**slots(2)) as made:
            made.run(2)
            assert made.room.enter("m", "acme") is None
            for name in ("r1", "r2", "r3"):
                made.begin(name)
            await made.pass_time(1)
            assert made.turns == []
            made.end()
            await made.pass_time(1)
            made.end()
            await made.pass_time(0)
            assert made.turns == [("r1", 1.0), ("r2", 2.0)]
            assert made.in_flight() == 2

    run(scenario())


def test_who_would_wait_for_too_long_is_refused_at_the_door_with_the_true_time():
    async def scenario():
        async with room(wait_seconds_max=10.0, standing_seconds=100.0, **slots(2)) as made:
            await _learnt(made, 4.0, 2)
            for number in range(4):
                made.begin(f"r{number}")
            await made.pass_time(0)
            # A turn every 2 s: the fifth would come in 10 s, the sixth in 12.
            made.room.check("m", "acme", 0, made.call().deadline)
            made.begin("r4")
            await made.pass_time(0)
            with pytest.raises(PlatformError) as caught:
                made.room.check("m", "acme", 0, made.call().deadline)
            assert (caught.value.reason, caught.value.started) == (Reason.OVERLOADED, False)
            assert caught.value.retry_after_seconds == pytest.approx(12.0)
            with pytest.raises(PlatformError):
                await made.room.wait(made.call(), None)
            assert made.told.refusals == ["hopeless", "hopeless"]
            assert len(made.room) == 5

    run(scenario())


def test_a_callers_own_time_counts_at_the_door():
    async def scenario():
        async with room(standing_seconds=100.0, **slots(2)) as made:
            await _learnt(made, 4.0, 2)
            made.begin("r0")
            await made.pass_time(0)
            made.room.check("m", "acme", 0, made.call(seconds=5.0).deadline)
            with pytest.raises(PlatformError):
                made.room.check("m", "acme", 0, made.call(seconds=3.0).deadline)

    run(scenario())


def test_a_burst_may_wait_for_long_and_a_queue_that_stands_may_not():
    async def scenario():
        async with room(standing_seconds=4.0, **slots(2)) as made:
            await _learnt(made, 2.0, 2)
            for number in range(10):
                made.begin(f"r{number}")
            await made.pass_time(0.5)
            made.room.check("m", "acme", 0, made.call().deadline)
            await made.pass_time(0.6)
            with pytest.raises(PlatformError) as caught:
                made.room.check("m", "acme", 0, made.call().deadline)
            assert "may" in caught.value.message or "left" in caught.value.message
            # A tenant with nobody there waits for one turn only.
            made.room.check("m", "another", 0, made.call().deadline)

    run(scenario())


def test_a_queue_that_stands_takes_as_many_as_run_however_long_they_do():
    async def scenario():
        async with room(standing_seconds=1.0, wait_seconds_max=100.0, **slots(2)) as made:
            await _learnt(made, 40.0, 2)
            made.begin("r0")
            await made.pass_time(15)
            made.begin("r1")
            await made.pass_time(0)
            assert len(made.room) == 2
            with pytest.raises(PlatformError):
                made.room.check("m", "acme", 0, made.call().deadline)

    run(scenario())


def test_one_tenants_long_calls_leave_the_others_their_share_of_the_places():
    async def scenario():
        async with room(tenant_share=0.5, **slots(4)) as made:
            made.run(4, tenant="crowd")
            for number in range(20):
                made.begin(f"crowd-{number}", tenant="crowd")
            await made.pass_time(0)
            for number in range(3):
                made.begin(f"alone-{number}", tenant="alone")
            await made.pass_time(0)
            made.end()
            made.end()
            await made.pass_time(0)
            # "crowd" has two of four still: it gets none before the other has its half.
            assert made.names() == ["alone-0", "alone-1"]
            made.end()
            await made.pass_time(0)
            assert made.names()[2:] == ["crowd-0"]

    run(scenario())


def test_a_tenant_that_is_alone_may_have_every_place():
    async def scenario():
        async with room(tenant_share=0.25, **slots(4)) as made:
            made.run(4)
            for number in range(4):
                made.begin(f"r{number}")
            await made.pass_time(0)
            for _ in range(4):
                made.end()
            await made.pass_time(0)
            assert made.names() == ["r0", "r1", "r2", "r3"]

    run(scenario())


def test_a_full_queue_makes_room_for_a_higher_priority():
    async def scenario():
        async with room(bounds=QueueBounds(waiting_max=2), **slots(1)) as made:
            made.run()
            made.begin("early", tenant="a")
            low = made.begin("low", tenant="b", priority=-1)
            await made.pass_time(1)
            made.begin("high", tenant="c", priority=2)
            with pytest.raises(PlatformError) as caught:
                await low
            assert caught.value.reason is Reason.OVERLOADED
            assert caught.value.retry_after_seconds >= 1.0
            assert made.told.refusals == ["displaced"]
            assert made.told.waits == [("refused", 1.0)]
            assert len(made.room) == 2
            with pytest.raises(PlatformError):
                made.room.check("m", "d", -1, made.call().deadline)

    run(scenario())


def test_a_full_queue_makes_room_for_a_tenant_that_has_less_of_it():
    async def scenario():
        async with room(bounds=QueueBounds(waiting_max=4), **slots(1)) as made:
            made.run()
            crowd = [made.begin(f"crowd-{number}", tenant="crowd") for number in range(4)]
            await made.pass_time(0)
            made.begin("a", tenant="a")
            made.begin("b", tenant="b")
            await made.pass_time(0)
            assert [task.done() for task in crowd] == [False, False, True, True]
            with pytest.raises(PlatformError) as caught:
                await made.room.wait(made.call(tenant="crowd"), None)
            assert "no more of yours may" in caught.value.message
            for task in crowd[2:]:
                assert task.exception().reason is Reason.OVERLOADED

    run(scenario())


def test_without_a_queue_what_finds_no_place_is_refused():
    async def scenario():
        async with room(wait_seconds_max=0.0, **slots(1)) as made:
            made.run()
            with pytest.raises(PlatformError) as caught:
                await made.room.wait(made.call(), None)
            assert caught.value.reason is Reason.OVERLOADED

    run(scenario())


def test_who_is_refused_without_a_wait_leaves_the_others_a_way_on():
    async def scenario():
        async with room(wait_seconds_max=5.0, **slots(1)) as made:
            held = made.room.enter("m", "acme")
            made.begin("r1")
            await made.pass_time(0)
            # Its provider names a time beyond the longest wait; nobody runs who could end.
            with pytest.raises(PlatformError):
                await made.room.wait(made.call(), refusal(60.0), held)
            await made.pass_time(3)
            assert made.names() == ["r1"]

    run(scenario())


class Storm:
    """Random callers on virtual time, who come, are refused, are served, leave, give up, at any point."""

    def __init__(self, made, seed):
        self.made, self.random = made, random.Random(seed)
        self.most = 0

    async def caller(self, number):
        room, rng = self.made.room, self.random
        await asyncio.sleep(rng.random() * 20)
        tenant, model = rng.choice("abc"), rng.choice(["m", "n"])
        call = QueuedCall(model, tenant, rng.randint(-2, 2), self.made.call(seconds=rng.choice([2, 8, 60])).deadline)
        ticket = None
        try:
            ticket = room.enter(model, tenant)
            error = None
            while True:
                if ticket is None:
                    ticket = await room.wait(call, error)
                elif error is not None:
                    held, ticket = ticket, None
                    ticket = await room.wait(call, error, held)
                self.most = max(self.most, self.made.in_flight(model))
                await asyncio.sleep(rng.random() * 0.2)
                if rng.random() > 0.2:
                    break
                error = refusal(rng.choice([None, 0.5, 60.0]))
            if rng.random() > 0.1:
                room.served(ticket, self.made.clock.monotonic(), rng.choice([0.0, 0.0, 0.3]))
            await asyncio.sleep(rng.random() * 2)
            if rng.random() < 0.1:
                raise RuntimeError("a defect")  # noqa: TRY301 - this is what callers do
        except (PlatformError, RuntimeError):
            pass
        finally:
            if ticket is not None:
                room.leave(ticket)

    async def run(self, callers=300):
        tasks = [asyncio.get_running_loop().create_task(self.caller(number)) for number in range(callers)]
        for _ in range(60):
            await asyncio.sleep(0.5)
            self.random.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_callers_do_every_place_comes_back(seed):
    async def scenario():
        bounds = QueueBounds(waiting_max=20, tenant_max=12)
        async with room(bounds=bounds, wait_seconds_max=10.0, **slots(5)) as made:
            made.run()
            made.run(model="n")
            storm = Storm(made, seed)
            await storm.run()
            for ticket in made.running:
                made.room.leave(ticket)
            assert 2 < storm.most <= 5
            assert (made.in_flight("m"), made.in_flight("n")) == (0, 0)
            assert len(made.room) == 0
            # And the next call finds a place.
            ticket = made.room.enter("m", "a")
            assert ticket is not None
            made.room.leave(ticket)

    run(scenario())
