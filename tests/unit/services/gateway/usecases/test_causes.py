"""Errors as clients and logs get them: what may be seen, and causes that come to an end (loggers, `send_error`)."""

from __future__ import annotations

import asyncio

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.usecases.waiting import WaitLimits
from tests.unit.services.gateway.usecases.city import PACE, breaks, city
from tests.unit.services.gateway.usecases.test_choice import tiers
from tests.unit.services.gateway.usecases.world import Worker, World, ask

NO_QUEUE = WaitLimits(wait_seconds_max=0.0)


def causes(error):
    """All of them, itself first."""
    found = []
    while error is not None:
        assert all(error is not each for each in found), f"{error!r} is among its own causes"
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


@pytest.mark.parametrize(
    ("script", "limits", "reason"),
    [
        ([("refuse", Reason.INVALID_REQUEST)], None, Reason.INVALID_REQUEST),
        ([("fail", 0)] * 4, None, Reason.INTERNAL),
        ([("refuse", Reason.OVERLOADED)] * 9, NO_QUEUE, Reason.OVERLOADED),
        ([("refuse", Reason.OVERLOADED)] * 99, None, Reason.OVERLOADED),
        ([("die", 0)], None, Reason.NO_WORKER),
        ([("die", 2)], None, Reason.STREAM_INTERRUPTED),
    ],
)
def test_an_error_that_ends_a_call_is_not_its_own_cause(tmp_path, script, limits, reason):
    async def scenario():
        options = {} if limits is None else {"waiting": limits}
        async with World([Worker("a", script)], tmp_path, **options) as world:
            _, error = await world.failure()
            assert error.reason is reason
            assert causes(error)

    run(scenario())


def test_nor_is_one_whose_call_found_no_other_model(tmp_path):
    """The first has no worker, the second no price: the client hears of the first."""

    async def scenario():
        async with World([Worker("a"), Worker("b")], tmp_path) as world:
            tiers(world)
            world.router.of_model["m"] = []
            find = world.charges.prices.find
            world.charges.prices.find = lambda *names: None if "small" in names else find(*names)
            _, error = await world.failure(ask(model="auto"))
            assert error.reason is Reason.NO_WORKER
            assert Reason.PRICE_UNKNOWN in [each.reason for each in causes(error) if isinstance(each, PlatformError)]

    run(scenario())


def test_nor_is_one_of_a_store_that_keeps_no_claim(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            c.world.router.hold = asyncio.Event()
            first = asyncio.create_task(breaks(await c.one.open("r1")))
            await asyncio.sleep(1)
            second = asyncio.create_task(breaks(await c.two.open("r2")))
            await asyncio.sleep(1)
            await c.one.die()
            claim = c.two.keyed.claim_again

            async def cut(*named):
                c.two.wire.dead = True
                return await claim(*named)

            c.two.keyed.claim_again = cut
            _, error = await second
            await first
            assert error.reason is Reason.STORE_UNAVAILABLE
            assert causes(error)

    run(scenario())


@pytest.mark.parametrize("names", ["a", "abcd"])
def test_a_client_is_not_told_where_workers_are_that_cannot_be_reached(tmp_path, names):
    async def scenario():
        async with World([Worker(name) for name in names], tmp_path) as world:
            for name in names:  # every worker's channel exists
                world.router.workers = [world.workers[name]]
                await world.answer()
            world.router.workers = list(world.workers.values())
            for worker in world.workers.values():
                worker.channel.lose()
            events, error = await world.failure()
            assert (error.reason, error.http_status, error.started, events) == (Reason.NO_WORKER, 503, False, [])
            assert error.retry_after_seconds
            assert "peer" not in error.message

    run(scenario())
