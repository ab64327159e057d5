import asyncio

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.domain.ledger.types import End, Outcome, Progress, Settlement
from tests.unit.services.gateway.usecases.ledger.ledgers import Books, ask, settled, used


def nothing():
    return Progress()


async def refused(awaitable):
    with pytest.raises(PlatformError) as caught:
        await awaitable
    return caught.value


async def settle_down():
    await asyncio.sleep(0.5)


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
            assert await keeper.extend(ask(), 50, 50, used(1))
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
            assert not await keeper.extend(ask(), 50, 50, used(1))
            assert await keeper.extend(ask(), 20, 20, used(1))
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
