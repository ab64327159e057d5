"""A herd on a cold cache makes one load, and what it brought does not expire as one."""

from __future__ import annotations

import asyncio
import random

import pytest

from libs.errors import PlatformError, Reason
from libs.resilience.jitter import shortened
from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.gateway.adapters.placements import PlacementLimits, RememberingRouter
from services.gateway.domain.plan import Candidate, PlaceQuery, Plan
from services.gateway.domain.turns import Principal
from services.gateway.usecases.sessions import SessionGuard, SessionLimits
from tests.unit.services.gateway.usecases.world import ALICE, Worker, World, whole


class Owners:
    """A store that takes its time."""

    def __init__(self):
        self.asked, self.down = 0, False

    async def claim(self, tenant, session, owner):
        self.asked += 1
        await asyncio.sleep(0.1)
        if self.down:
            raise PlatformError(Reason.STORE_UNAVAILABLE, "down", started=False)
        return owner


def guard_of(owners, clock, uniform=lambda: 0.0, **limits):
    return SessionGuard(owners, clock, SessionLimits(**limits), uniform=uniform)


def test_a_herd_of_one_sessions_calls_asks_for_its_owner_once():
    async def scenario():
        owners, clock = Owners(), FakeClock()
        guard = guard_of(owners, clock)
        entered = await asyncio.gather(*[guard.enter("s", ALICE, "") for _ in range(100)])
        assert owners.asked == 1
        assert len({id(session) for session in entered}) == 1
        await asyncio.sleep(61)
        await asyncio.gather(*[guard.enter("s", ALICE, "") for _ in range(100)])
        assert owners.asked == 2

    run(scenario())


def test_two_principals_of_a_herd_are_told_apart():
    async def scenario():
        owners, clock = Owners(), FakeClock()
        guard = guard_of(owners, clock)
        other = Principal("acme", "key-2")
        await asyncio.gather(*[guard.enter("s", who, "") for who in (ALICE, other, ALICE)])
        assert owners.asked == 2

    run(scenario())


def test_a_waiter_that_leaves_takes_nobody_with_it_and_a_failure_is_each_waiters_own():
    async def scenario():
        owners, clock = Owners(), FakeClock()
        guard = guard_of(owners, clock)
        first = asyncio.ensure_future(guard.enter("s", ALICE, ""))
        second = asyncio.ensure_future(guard.enter("s", ALICE, ""))
        await asyncio.sleep(0.05)
        first.cancel()
        assert (await second).owner
        assert owners.asked == 1
        owners.down = True
        failed = await asyncio.gather(*[guard.enter("t", ALICE, "") for _ in range(3)], return_exceptions=True)
        assert [each.reason for each in failed] == [Reason.STORE_UNAVAILABLE] * 3
        assert len({id(each) for each in failed}) == 3
        assert owners.asked == 2

    run(scenario())


def test_a_herd_on_a_cold_gateway_fetches_the_tokenizer_once(tmp_path):
    async def scenario():
        worker = Worker("a")
        worker.hold_fetch = asyncio.Event()
        async with World([worker], tmp_path) as world:
            herd = [asyncio.ensure_future(world.answer(request_id=f"r{index}")) for index in range(50)]
            await asyncio.sleep(0.5)
            worker.hold_fetch.set()
            assert all(whole(events) for events in await asyncio.gather(*herd))
            assert worker.fetched == 1

    run(scenario())


class Router:
    """Counts who asks for a plan."""

    def __init__(self):
        self.asked = 0

    async def place(self, query, *, timeout, metadata):
        self.asked += 1
        return Plan([Candidate("w", "a:1", "b", "d1", "bound")], 1)


async def asked_in_steps(touch, asked, before, step, steps):
    """How many of 200 sessions had to be asked for again after `before` seconds, and in each step after that."""
    names = [f"s{index}" for index in range(200)]
    found = []
    for seconds in (0.0, before, *[step] * steps):
        await asyncio.sleep(seconds)
        had = asked()
        await asyncio.gather(*[touch(name) for name in names])
        found.append(asked() - had)
    return found[1:]


@pytest.mark.parametrize("seed", range(3))
def test_owners_that_came_together_are_asked_for_again_apart(seed):
    async def scenario():
        owners = Owners()
        guard = guard_of(owners, FakeClock(), random.Random(seed).random)
        first, *rest = await asked_in_steps(
            lambda name: guard.enter(name, ALICE, ""), lambda: owners.asked, 44.0, 2.5, 6
        )
        assert first == 0
        assert all(10 < count < 70 for count in rest), rest

    run(scenario())


@pytest.mark.parametrize("seed", range(3))
def test_plans_that_came_together_are_asked_for_again_apart(seed):
    async def scenario():
        router, uniform = Router(), random.Random(seed).random
        plans = RememberingRouter(router, lambda: 1, FakeClock(), PlacementLimits(30.0), Registry(), uniform=uniform)

        async def touch(name):
            await plans.place(PlaceQuery("r", "acme", "m", "d1", 10, session=name), timeout=1.0, metadata={})

        first, *rest = await asked_in_steps(touch, lambda: router.asked, 22.0, 1.3, 6)
        assert first == 0
        assert all(10 < count < 70 for count in rest), rest

    run(scenario())


def test_a_lifetime_is_never_longer_and_at_most_a_quarter_shorter():
    assert shortened(40.0, lambda: 0.0) == 40.0
    assert shortened(40.0, lambda: 1.0) == 30.0
