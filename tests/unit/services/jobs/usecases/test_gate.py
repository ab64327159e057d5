"""Who waits at the gate, in which order, and what becomes of those who leave."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from libs.errors import Reason
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.jobs.domain.gate import GateRule, Told
from services.jobs.ports.neighbours import Room
from services.jobs.usecases.gate import FORGET_SECONDS, Gate, GateLimits, NoRoomError
from tests.unit.services.jobs.running_world import FakeCapacity, Observed, failing

FULL = Room(0, 0, 5, 300, 4)
# Headroom off, so that as many may begin as the test says.
RULE = GateRule(share=1.0, share_max=1.0, headroom=0.0)


class Desk:
    def __init__(self, **limits) -> None:
        self.clock = FakeClock()
        self.capacity = FakeCapacity(self.clock, FULL)
        self.seen = Observed()
        self.gate = Gate(self.capacity, self.clock, GateLimits(RULE, **limits), self.seen, uniform=lambda: 0.5)
        self.inside: list[str] = []

    async def enter(self, name: str, tenant: str = "a", priority: int = 0, *, seconds: float = 1.0) -> None:
        async with self.gate.room("m", tenant, priority):
            self.inside.append(name)
            await self.clock.sleep(seconds)


@asynccontextmanager
async def desk(**limits):
    made = Desk(**limits)
    task = asyncio.create_task(made.gate.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_requests_begin_as_soon_as_there_is_room():
    async def main():
        async with desk() as d:
            waiting = asyncio.create_task(d.enter("x"))
            await d.clock.sleep(5.0)
            assert d.inside == []
            assert d.gate.figures()["m"] == (0, 0, 1, True)
            d.capacity.room = Room(10, 0, 0, 0, 1)
            began = d.clock.monotonic()
            await waiting
            assert d.clock.monotonic() - began < 1.2

    run(main())


def test_tenants_take_turns_and_priority_decides_within_one():
    async def main():
        async with desk() as d:
            names = [("a1", "a", 0), ("a2", "a", 5), ("a3", "a", 0), ("b1", "b", -100), ("b2", "b", 0)]
            tasks = [asyncio.create_task(d.enter(*each, seconds=0.05)) for each in names]
            await d.clock.sleep(1.0)
            d.capacity.room = Room(1, 0, 0, 0, 1)
            await asyncio.gather(*tasks)
            assert d.inside == ["a2", "b2", "a1", "b1", "a3"]

    run(main())


def test_who_is_cancelled_leaves_its_place_to_others():
    async def main():
        async with desk() as d:
            first, second = (asyncio.create_task(d.enter(name)) for name in ("x", "y"))
            await d.clock.sleep(1.0)
            first.cancel()
            d.capacity.room = Room(1, 0, 0, 0, 1)
            await second
            assert d.inside == ["y"]
            await asyncio.gather(first, return_exceptions=True)

    run(main())


def test_one_that_is_cancelled_just_before_its_turn_does_not_take_it():
    async def main():
        async with desk() as d:
            first, second = (asyncio.create_task(d.enter(name)) for name in ("x", "y"))
            await d.clock.sleep(1.0)
            pool = d.gate._pools["m"]
            first.cancel()  # its task has not run yet when its turn comes
            pool.gate.tell(d.clock.monotonic(), Told(1, 0, 0))
            d.gate._grant(pool)
            d.capacity.room = Room(1, 0, 0, 0, 1)
            await second
            assert d.inside == ["y"]
            await asyncio.gather(first, return_exceptions=True)

    run(main())


def test_room_that_somebody_had_is_free_again_whatever_became_of_them():
    async def main():
        async with desk() as d:
            d.capacity.room = Room(1, 0, 0, 0, 1)
            for _ in range(5):
                task = asyncio.create_task(d.enter("x", seconds=100.0))
                await d.clock.sleep(2.0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await d.enter("last")
            assert d.inside == ["x"] * 5 + ["last"]

    run(main())


def test_one_that_is_cancelled_in_the_turn_in_which_it_was_let_through_gives_its_room_back():
    async def main():
        async with desk() as d:
            d.capacity.room = Room(1, 0, 0, 0, 1)
            holder = asyncio.create_task(d.enter("holder", seconds=3.0))
            await d.clock.sleep(1.0)
            second, third = (asyncio.create_task(d.enter(name)) for name in ("second", "third"))
            await d.clock.sleep(1.0)
            # `holder` leaves, which lets `second` through; it is cancelled before it has run.
            grant = d.gate._grant

            def granting(pool):
                grant(pool)
                if not pool.line or len(pool.line) == 1:
                    second.cancel()

            d.gate._grant = granting
            await asyncio.gather(holder, third)
            assert d.inside == ["holder", "third"]
            await asyncio.gather(second, return_exceptions=True)

    run(main())


def test_who_waits_for_too_long_is_told_so():
    async def main():
        async with desk(held_seconds=10.0) as d:
            with pytest.raises(NoRoomError):
                await asyncio.wait_for(d.enter("x"), 60.0)
            assert 10.0 <= d.clock.monotonic() - 1_000.0 <= 11.5

    run(main())


def test_who_waits_where_nobody_wants_its_place_may_go_on():
    async def main():
        async with desk(held_seconds=10.0) as d:
            wanted = False
            d.gate._wanted = lambda: wanted
            waiting = asyncio.create_task(d.enter("x"))
            await d.clock.sleep(100.0)
            assert not waiting.done()
            wanted = True
            with pytest.raises(NoRoomError):
                await waiting

    run(main())


def test_a_pool_that_nobody_asks_for_is_not_watched():
    async def main():
        async with desk() as d:
            d.capacity.room = Room(10, 0, 0, 0, 1)
            await d.enter("x")
            await d.clock.sleep(FORGET_SECONDS + 3.0)
            assert d.gate.figures() == {}
            await d.enter("y")
            assert d.capacity.watched == ["m", "m"]

    run(main())


def test_a_router_that_comes_back_is_heard_again():
    async def main():
        async with desk(held_seconds=60.0) as d:
            d.capacity.away = failing(Reason.ROUTER_UNAVAILABLE)
            waiting = asyncio.create_task(d.enter("x"))
            await d.clock.sleep(10.0)
            assert d.gate.figures()["m"] == (0, 0, 1, False)
            d.capacity.away, d.capacity.room = None, Room(10, 0, 0, 0, 1)
            began = d.clock.monotonic()
            await waiting
            assert d.clock.monotonic() - began < 3.0

    run(main())
