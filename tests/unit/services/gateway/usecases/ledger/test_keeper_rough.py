"""What a keeper must not do when the store is away for long, forgets much, or calls end meanwhile."""

import asyncio

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.domain.ledger.types import Progress
from tests.unit.services.gateway.usecases.ledger.ledgers import Books, ask, settled, used


def unanswered(books):
    """The store takes a hold, and its reply is lost."""
    holding = books.store.hold

    async def lost(*args, **kwargs):
        await holding(*args, **kwargs)
        raise PlatformError(Reason.STORE_UNAVAILABLE, "no reply", started=False)

    books.store.hold = lost


def test_a_lost_reply_gives_nothing_back_of_what_a_lost_gateway_held():
    async def scenario():
        books = Books()
        async with books.keeper("g1") as dead:
            await dead.hold(ask(), lambda: used(7))
        async with books.keeper("g2") as keeper:
            unanswered(books)
            again = ask()
            again.inherited = True
            with pytest.raises(PlatformError):
                await keeper.hold(again, Progress)
            await asyncio.sleep(1)
            assert (books.totals.held, books.totals.running) == (100, 1)

    run(scenario())


def test_a_gateway_that_ends_while_the_store_is_away_leaves_the_loop_its_turn():
    async def scenario():
        books = Books()
        async with books.keeper() as keeper:
            await keeper.hold(ask(), Progress)
        tries = []

        async def away(settlements):
            tries.append(settlements)
            assert len(tries) < 100, "it asks without a pause"
            raise PlatformError(Reason.STORE_UNAVAILABLE, "away", started=False)

        books.store.settle = away
        keeper.settle(ask(), settled())
        await keeper.close(2.0)

    run(scenario())


def test_many_holds_are_declared_together():
    async def scenario():
        books = Books(budget=10**6)
        async with books.keeper() as keeper:
            for number in range(300):
                await keeper.hold(ask(f"r{number}", 1), Progress)
            redeclare = books.store.redeclare

            async def far(*args):
                await asyncio.sleep(0.02)
                return await redeclare(*args)

            books.store.redeclare = far
            books.store.restart()
            await asyncio.sleep(1.5)
            assert keeper.lives.open

    run(scenario())


@pytest.mark.parametrize("then", ["declares", "renews"])
def test_a_call_that_is_left_while_others_are_told_is_not_asked_for_its_progress(then):
    async def scenario():
        books = Books(budget=10**6)
        async with books.keeper() as keeper:
            for number in range(201):
                last = ask(f"r{number}", 1)
                await keeper.hold(last, Progress)
            telling, gone = getattr(books.store, "redeclare" if then == "declares" else "extend"), []

            def never():
                raise AssertionError("a call that was left has no progress")

            async def leaving(*args):
                if not gone:
                    gone.append(keeper._live[last.request_id])
                    gone[0].progress = never
                    keeper.leave(last)
                await asyncio.sleep(0.01)
                return await telling(*args)

            setattr(books.store, "redeclare" if then == "declares" else "extend", leaving)
            if then == "declares":
                books.store.restart()
            await asyncio.sleep(8)
            assert gone
            assert keeper.lives.open
            assert keeper.may_expire() is (keeper.lives.contact_seconds() >= 15)
            await keeper.hold(ask("after", 1), Progress)
            keeper.settle(ask("after", 1), settled("after"))
            await asyncio.sleep(1)
            assert books.totals.settled > 0

    run(scenario())
