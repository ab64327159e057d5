"""What gateways do when the store begins another life, or was away."""

import asyncio

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.domain.ledger.types import Outcome
from tests.unit.services.gateway.usecases.ledger.ledgers import (
    Books,
    ask,
    nothing,
    refused,
    settle_down,
    settled,
    used,
)


def test_a_store_that_lost_its_last_second_is_told_of_running_holds_and_recent_ends_before_anything_is_held():
    async def scenario():
        books = Books(budget=200)
        async with books.keeper() as keeper:
            before = books.store.snapshot()
            await keeper.hold(ask("ended", 100), nothing)
            keeper.settle(ask("ended", 100), settled("ended", tokens=90))
            await keeper.hold(ask("running", 60), nothing)
            await asyncio.sleep(0.1)
            books.store.restart(before)
            error = await refused(keeper.hold(ask("greedy", 100), nothing))
            assert error.reason is Reason.STORE_UNAVAILABLE
            while not keeper.lives.open:
                await asyncio.sleep(0.01)
            await settle_down()
            assert (books.totals.settled, books.totals.held) == (100, 60)
            error = await refused(keeper.hold(ask("greedy", 100), nothing))
            assert error.reason is Reason.INSUFFICIENT_QUOTA or error.reason is Reason.BUDGET_EXCEEDED

    run(scenario())


@pytest.mark.parametrize("away", [0.0, 60.0])
def test_what_a_store_lost_is_told_again_however_long_it_was_away(away):
    async def scenario():
        books = Books(budget=200)
        async with books.keeper() as keeper:
            before = books.store.snapshot()
            await keeper.hold(ask("short", 100), nothing)
            keeper.settle(ask("short", 100), settled("short", tokens=20))
            await settle_down()
            books.store.down, life = True, keeper.lives.name()
            await asyncio.sleep(away)
            books.store.restart(before)
            books.store.down = False
            settle = books.store.settle

            async def slowly(settlements):
                await asyncio.sleep(0.5)
                return await settle(settlements)

            books.store.settle = slowly
            await opens_after(keeper, life)
            # At once: what it left of its hold may be held.
            assert (books.totals.settled, books.totals.held) == (30, 0)

    run(scenario())


def test_an_end_that_is_surely_kept_is_not_told_again():
    async def scenario():
        books = Books(budget=200)
        async with books.keeper() as keeper:
            before = books.store.snapshot()
            await keeper.hold(ask("short", 100), nothing)
            keeper.settle(ask("short", 100), settled("short", tokens=20))
            await asyncio.sleep(5)
            life = keeper.lives.name()
            books.store.restart(before)
            await opens_after(keeper, life)
            assert "t" not in books.store.dump("acme")

    run(scenario())


async def opens_after(keeper, life):
    while not keeper.lives.open or keeper.lives.name() == life:
        await asyncio.sleep(0.01)


def test_an_extension_that_the_store_has_lost_is_declared_with_its_hold():
    async def scenario():
        books = Books()
        async with books.keeper() as keeper:
            await keeper.hold(ask(), nothing)
            before = books.store.snapshot()
            assert await keeper.extend(ask(), 50, 50, used(1)) is Outcome.OK
            books.store.restart(before)
            assert books.totals.held == 100
            await asyncio.sleep(5)
            assert books.totals.held == 150

    run(scenario())


def test_an_end_on_its_way_is_declared_before_anything_is_held_in_another_life():
    async def scenario():
        books = Books(budget=100)
        async with books.keeper() as keeper:
            before = books.store.snapshot()
            await keeper.hold(ask(amount=100), nothing)
            settling = books.store.settle

            async def away(settlements):
                return [None] * len(settlements)

            books.store.settle = away
            keeper.settle(ask(), settled(tokens=90))
            await asyncio.sleep(0.05)
            books.store.restart(before)
            await asyncio.sleep(5)
            assert keeper.lives.open
            assert books.totals.held == 100
            books.store.settle = settling
            await settle_down()
            assert (books.totals.settled, books.totals.held) == (100, 0)

    run(scenario())


def cut_off(books, name):
    """Keeps a gateway from declaring until the returned event is set."""
    beat, back = books.store.beat, asyncio.Event()

    async def beat_unless_cut_off(gateway, declared):
        if gateway == name and not back.is_set():
            raise PlatformError(Reason.STORE_UNAVAILABLE, "cut off", started=False)
        return await beat(gateway, declared)

    books.store.beat = beat_unless_cut_off
    return back


def test_every_gateway_declares_before_any_holds_in_another_life():
    async def scenario():
        books = Books(budget=100)
        async with books.keeper("g1") as one, books.keeper("g2") as two:
            before = books.store.snapshot()
            await one.hold(ask(amount=100), nothing)
            back = cut_off(books, "g1")
            books.store.restart(before)
            await asyncio.sleep(2)
            assert (await refused(two.hold(ask("r2", 100), nothing))).reason is Reason.STORE_UNAVAILABLE
            back.set()
            while not two.lives.open:
                await asyncio.sleep(0.01)
            error = await refused(two.hold(ask("r2", 100), nothing))
            assert error.reason is Reason.BUDGET_EXCEEDED

    run(scenario())


def test_a_gateway_that_begins_in_another_life_waits_for_those_that_must_declare():
    async def scenario():
        books = Books(budget=100)
        async with books.keeper("g1") as one:
            before = books.store.snapshot()
            await one.hold(ask(amount=100), nothing)
            books.store.restart(before)
            async with books.keeper("g2") as late:
                error = await refused(late.hold(ask("r2", 100), nothing))
                assert error.reason is Reason.BUDGET_EXCEEDED

    run(scenario())


def test_a_gateway_has_begun_once_it_could_hold_and_whatever_comes_later():
    async def scenario():
        books = Books()
        books.store.down = True
        async with books.keeper(opened=False) as keeper:
            await asyncio.sleep(2)
            assert not keeper.lives.begun
            books.store.down = False
            await asyncio.sleep(1)
            assert keeper.lives.begun
            books.store.restart()
            books.store.down = True
            await asyncio.sleep(2)
            assert (keeper.lives.begun, keeper.lives.open) == (True, True)

    run(scenario())


def test_a_gateway_that_is_gone_is_waited_for_three_seconds():
    async def scenario():
        books = Books()
        async with books.keeper("dead"):
            pass
        books.store.restart()
        began = books.clock.monotonic()
        async with books.keeper("g1"):
            assert 2.9 < books.clock.monotonic() - began < 3.5

    run(scenario())


def test_a_gateway_that_has_left_is_not_waited_for():
    async def scenario():
        books = Books()
        async with books.keeper("gone") as gone:
            await gone.close(1.0)
        books.store.restart()
        began = books.clock.monotonic()
        async with books.keeper("g1"):
            assert books.clock.monotonic() - began < 0.5

    run(scenario())


def test_after_a_gap_of_the_store_holds_count_as_overdue_only_when_their_gateways_could_renew_them():
    async def scenario():
        books = Books()
        async with books.keeper() as keeper:
            await asyncio.sleep(16)
            assert keeper.may_expire()
            books.store.down = True
            await asyncio.sleep(60)
            books.store.down = False
            await asyncio.sleep(2)
            assert not keeper.may_expire()
            await asyncio.sleep(16)
            assert keeper.may_expire()

    run(scenario())


def test_what_is_overdue_after_a_gap_is_not_guessed_before_the_workers_could_be_asked():
    """A gateway died, then the store was away for longer than lease and grace: only workers know what was sent."""

    async def scenario():
        books = Books(budget=100)
        async with books.keeper() as dead:
            await dead.hold(ask(amount=100), lambda: used(0))
        async with books.keeper("g2") as keeper:
            books.store.down = True
            await asyncio.sleep(60)
            books.store.down = False
            await asyncio.sleep(16)
            assert keeper.may_expire()
            assert not keeper.may_guess()
            with pytest.raises(PlatformError):
                await keeper.hold(ask("r2", amount=50), lambda: used(0))
            assert books.totals.held == 100
            await asyncio.sleep(11)
            assert keeper.may_guess()
            await keeper.hold(ask("r3", amount=50), lambda: used(0))

    run(scenario())
