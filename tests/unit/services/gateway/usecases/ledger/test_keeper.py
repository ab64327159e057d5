import asyncio

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.domain.ledger.types import End, Outcome, Settlement
from tests.unit.services.gateway.usecases.ledger.ledgers import (
    Books,
    ask,
    nothing,
    refused,
    settle_down,
    settled,
    used,
)


def test_a_call_is_held_and_charged_what_it_used():
    async def scenario():
        books = Books()
        async with books.keeper() as keeper:
            reply = await keeper.hold(ask(amount=100), nothing)
            assert (reply.outcome, reply.standing.budget_remaining) == (Outcome.OK, 900)
            assert (books.totals.held, books.totals.running) == (100, 1)
            keeper.settle(ask(), settled(tokens=20))
            await settle_down()
            assert (books.totals.settled, books.totals.held, books.totals.running) == (30, 0, 0)

    run(scenario())


def test_who_publishes_hears_of_every_end():
    async def scenario():
        books, heard = Books(), []
        async with books.keeper() as keeper:
            keeper.listen(heard.append)
            await keeper.hold(ask(), nothing)
            keeper.settle(ask(), settled())
            await settle_down()
            assert heard == ["acme"]

    run(scenario())


def test_what_passes_the_budget_is_refused_with_the_reason_and_no_hold():
    async def scenario():
        books = Books(budget=150)
        async with books.keeper() as keeper:
            await keeper.hold(ask("r1", 100), nothing)
            error = await refused(keeper.hold(ask("r2", 100), nothing))
            assert error.reason is Reason.BUDGET_EXCEEDED
            assert error.headers["x-should-retry"] == "false"
            assert error.headers["x-headrace-budget-remaining-usd"] == "0.00000005"
            assert books.totals.held == 100

    run(scenario())


def test_a_running_call_keeps_its_hold_for_as_long_as_it_runs():
    async def scenario():
        books = Books()
        async with books.keeper() as keeper:
            await keeper.hold(ask(), lambda: used(7))
            await asyncio.sleep(120)
            assert not await books.store.overdue("acme", 10)
            assert books.totals.held == 100

    run(scenario())


def test_the_hold_of_a_gateway_that_was_killed_is_overdue_with_what_it_last_reported():
    async def scenario():
        books = Books()
        async with books.keeper() as keeper:
            await keeper.hold(ask(), lambda: used(7))
            await asyncio.sleep(20)
        await asyncio.sleep(20)
        [overdue] = await books.store.overdue("acme", 10)
        assert (overdue.request_id, overdue.progress.completion_tokens) == ("r1", 7)

    run(scenario())


def test_an_end_that_the_store_does_not_take_is_told_when_it_is_back():
    async def scenario():
        books = Books()
        async with books.keeper() as keeper:
            await keeper.hold(ask(), nothing)
            books.store.down = True
            keeper.settle(ask(), settled(tokens=20))
            await asyncio.sleep(30)
            books.store.down = False
            await settle_down()
            assert (books.totals.settled, books.totals.held) == (30, 0)

    run(scenario())


def test_a_hold_whose_answer_was_lost_is_given_back():
    async def scenario():
        books = Books()
        async with books.keeper() as keeper:
            holding = books.store.hold

            async def lost(*args, **kwargs):
                await holding(*args, **kwargs)
                raise PlatformError(Reason.STORE_UNAVAILABLE, "no reply", started=False)

            books.store.hold = lost
            error = await refused(keeper.hold(ask(), nothing))
            assert error.reason is Reason.STORE_UNAVAILABLE
            await settle_down()
            assert (books.totals.held, books.totals.running) == (0, 0)

    run(scenario())


def test_a_hold_that_comes_to_the_store_after_it_was_given_up_holds_nothing():
    async def scenario():
        books = Books()
        async with books.keeper() as keeper:
            late = []
            holding = books.store.hold

            async def delayed(*args, **kwargs):
                late.append((args, kwargs))
                raise PlatformError(Reason.STORE_UNAVAILABLE, "no reply", started=False)

            books.store.hold = delayed
            await refused(keeper.hold(ask(), nothing))
            await settle_down()
            args, kwargs = late[0]
            reply = await holding(*args, **kwargs)
            assert (reply.outcome, reply.ended) == (Outcome.ENDED, End.REFUNDED)

    run(scenario())


def test_a_caller_that_goes_away_while_it_is_held_leaves_nothing_held():
    async def scenario():
        books = Books()
        async with books.keeper() as keeper:
            holding, entered = books.store.hold, asyncio.Event()

            async def slow(*args, **kwargs):
                reply = await holding(*args, **kwargs)
                entered.set()
                await asyncio.sleep(10)
                return reply

            books.store.hold = slow
            call = asyncio.create_task(keeper.hold(ask(), nothing))
            await entered.wait()
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await settle_down()
            assert books.totals.held == 0

    run(scenario())


def test_closing_tells_what_has_ended():
    async def scenario():
        books = Books()
        async with books.keeper() as keeper:
            await keeper.hold(ask(), nothing)
            keeper.settle(ask(), settled())
            await keeper.close(1.0)
            assert books.totals.held == 0

    run(scenario())


def test_an_extension_past_the_budget_is_refused_and_the_hold_stays():
    async def scenario():
        books = Books(budget=120)
        async with books.keeper() as keeper:
            await keeper.hold(ask(amount=100), nothing)
            assert await keeper.extend(ask(), 50, 50, used(1)) is Outcome.NO
            assert await keeper.extend(ask(), 20, 20, used(1)) is Outcome.OK
            assert books.totals.held == 120

    run(scenario())


def test_a_hold_that_has_ended_is_told_with_its_end():
    async def scenario():
        books = Books()
        async with books.keeper() as keeper:
            await keeper.hold(ask(), nothing)
            keeper.settle(ask(), Settlement("acme", "r1", End.REFUNDED))
            await settle_down()
            reply = await keeper.hold(ask(), nothing)
            assert (reply.outcome, reply.ended) == (Outcome.ENDED, End.REFUNDED)

    run(scenario())
