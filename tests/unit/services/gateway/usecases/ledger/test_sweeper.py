"""What becomes of the holds of a gateway that is gone."""

import asyncio

from libs.errors import PlatformError, Reason
from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.gateway.domain.ledger.holds import beside
from services.gateway.domain.ledger.types import Overdue, Progress
from services.gateway.domain.sent import Sent, SentAnswer
from services.gateway.metrics import LedgerMetrics
from services.gateway.usecases.ledger.sweeper import Sweeper, SweepTimes
from tests.unit.services.gateway.usecases.ledger.ledgers import META, Books, ask, settled, used


class Workers:
    """Say what they are told to."""

    def __init__(self, **changes):
        self.answer = SentAnswer(**{"complete": True, "covers_seconds": 600.0, **changes})
        self.asked = []

    async def ask(self, request_ids):
        self.asked.append(list(request_ids))
        return self.answer


class Tenants:
    async def tenants(self):
        return ["acme"]


def sweeper(books, workers, may_expire=lambda: True, may_guess=lambda: True):
    metrics = LedgerMetrics(Registry())
    return Sweeper(books.store, Tenants(), workers, books.clock, SweepTimes(), may_expire, may_guess, metrics)


async def abandoned(books, progress, request_id="r1"):
    """A hold whose gateway was killed after it had reported `progress`; its lease has just run out."""
    async with books.keeper() as keeper:
        await keeper.hold(ask(request_id), lambda: progress)
        await asyncio.sleep(6)
    await asyncio.sleep(15)


def test_it_is_charged_what_the_workers_have_sent():
    async def scenario():
        books = Books()
        workers = Workers(sent={"r1": Sent(10, (30, 5), cached_tokens=4)})
        await abandoned(books, used(7))
        assert await sweeper(books, workers).sweep("acme") == 1
        assert (books.totals.settled, books.totals.held, books.totals.running) == (45, 0, 0)

    run(scenario())


def test_what_has_never_reached_a_worker_is_given_back():
    async def scenario():
        books = Books()
        await abandoned(books, Progress(10, 10, 0, 0, 0))
        assert await sweeper(books, Workers()).sweep("acme") == 1
        assert (books.totals.settled, books.totals.held) == (0, 0)

    run(scenario())


def test_workers_whose_memory_does_not_reach_back_prove_nothing():
    async def scenario():
        books = Books()
        await abandoned(books, Progress(10, 10, 0, 0, 0))
        assert await sweeper(books, Workers(covers_seconds=5.0)).sweep("acme") == 0
        assert books.totals.held == 100

    run(scenario())


def test_while_a_worker_does_not_answer_it_waits_and_then_charges_what_was_reported():
    async def scenario():
        books = Books()
        workers = Workers(complete=False)
        await abandoned(books, used(7))
        sweep = sweeper(books, workers)
        assert await sweep.sweep("acme") == 0
        await asyncio.sleep(10)
        assert await sweep.sweep("acme") == 1
        assert (books.totals.settled, books.totals.held) == (17, 0)

    run(scenario())


def test_what_is_overdue_only_because_the_store_was_away_is_not_guessed():
    async def scenario():
        books = Books()
        workers, may = Workers(complete=False), False
        await abandoned(books, used(7))
        await asyncio.sleep(10)
        sweep = sweeper(books, workers, may_guess=lambda: may)
        assert await sweep.sweep("acme") == 0
        workers.answer = Workers(sent={"r1": Sent(10, (30,))}).answer
        assert await sweep.sweep("acme") == 1
        assert books.totals.settled == 40

    run(scenario())


def test_what_was_never_reported_on_is_charged_its_prompt_and_never_nothing():
    async def scenario():
        books = Books()
        async with books.keeper() as keeper:
            await keeper.hold(ask(prompt=10), Progress)
        await asyncio.sleep(26)
        assert await sweeper(books, Workers(complete=False)).sweep("acme") == 1
        assert books.totals.settled == 10

    run(scenario())


def test_a_call_that_a_worker_still_works_on_is_asked_for_again():
    async def scenario():
        books = Books()
        workers = Workers(sent={"r1": Sent(10, (30,), running=True)})
        await abandoned(books, used(7))
        assert await sweeper(books, workers).sweep("acme") == 0

    run(scenario())


def test_holds_beside_a_request_are_asked_for_by_its_id():
    async def scenario():
        books = Books()
        workers = Workers(sent={"r1": Sent(10, (3,))})
        await abandoned(books, used(1), request_id="r1~1+2")
        await sweeper(books, workers).sweep("acme")
        assert workers.asked == [["r1"]]
        assert books.totals.settled == 13

    run(scenario())


async def unreachable(*args):
    raise PlatformError(Reason.STORE_UNAVAILABLE, "cut off", started=False)


def test_two_sweepers_charge_once_and_a_gateway_that_comes_back_corrects_it():
    async def scenario():
        books = Books()
        workers = Workers(sent={"r1": Sent(10, (30,))})
        async with books.keeper("slow") as slow:
            await slow.hold(ask(), lambda: used(7))
            renewing = books.store.extend
            books.store.extend = unreachable
            await asyncio.sleep(16)
            both = sweeper(books, workers), sweeper(books, workers)
            assert await asyncio.gather(*(one.sweep("acme") for one in both)) == [1, 0]
            assert books.totals.settled == 40
            books.store.extend = renewing
            slow.settle(ask(), settled(tokens=35))
            await asyncio.sleep(0.5)
            assert books.totals.settled == 45

    run(scenario())


def test_it_sweeps_by_itself_unless_gateways_had_no_time_to_renew():
    async def scenario():
        books, may = Books(), False
        workers = Workers(sent={"r1": Sent(10, (30,))})
        await abandoned(books, used(7))
        task = asyncio.create_task(sweeper(books, workers, lambda: may).run())
        await asyncio.sleep(30)
        assert books.totals.held == 100
        may = True
        await asyncio.sleep(2)
        assert books.totals.settled == 40
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario())


def test_a_store_that_is_away_does_not_end_the_sweeping():
    async def scenario():
        books = Books()
        workers = Workers(sent={"r1": Sent(10, (30,))})
        await abandoned(books, used(7))
        books.store.down = True
        task = asyncio.create_task(sweeper(books, workers).run())
        await asyncio.sleep(5)
        books.store.down = False
        await asyncio.sleep(2)
        assert books.totals.settled == 40
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario())


def test_short_leases_are_swept_before_their_grace_is_over():
    """A tenant of the last moment, too: else its holds end at what was last reported, below what was sent."""
    assert SweepTimes.within(15.0, 10.0) == SweepTimes(every=1.0, tenants_every=15.0)
    assert SweepTimes.within(2.0, 2.0) == SweepTimes(every=0.5, tenants_every=2.0)


def test_an_engine_that_has_not_counted_its_prompt_yet_does_not_make_it_free():
    async def scenario():
        books = Books()
        await abandoned(books, Progress(10, 10, 0, 0, 0))
        workers = Workers(sent={"r1": Sent(0, (30,), estimated=True)})
        assert await sweeper(books, workers).sweep("acme") == 1
        assert books.totals.settled == 40

    run(scenario())


class Many:
    """Each tenant has one hold, overdue; those in `broken` have a record that nobody can read."""

    def __init__(self, names, broken=()):
        self.names, self.broken, self.looked = names, broken, []

    async def tenants(self):
        return self.names

    async def overdue(self, tenant, limit):
        if tenant in self.broken:
            raise ValueError("no record")
        self.looked.append(tenant)
        return [Overdue(f"{tenant}-r", 1, META, Progress(10, 10, 0, 0, 0))]

    async def end(self, tenant, overdue, end, progress):
        return True

    async def expire(self, tenant, limit):
        return 0


def swept(store, workers, seconds):
    async def scenario():
        clock, metrics = FakeClock(), LedgerMetrics(Registry())
        sweep = Sweeper(store, store, workers, clock, SweepTimes(), lambda: True, lambda: True, metrics)
        task = asyncio.create_task(sweep.run())
        await asyncio.sleep(seconds)
        alive = not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return alive

    return run(scenario())


def test_a_worker_that_is_slow_to_say_what_it_sent_makes_no_tenant_wait_for_the_others():
    class Slow(Workers):
        async def ask(self, request_ids):
            await asyncio.sleep(1)
            return await super().ask(request_ids)

    store = Many([f"t{number}" for number in range(100)])
    assert swept(store, Slow(), 3.0)
    assert len(set(store.looked)) == 100


def test_a_tenant_whose_records_cannot_be_read_keeps_no_hold_of_another():
    store = Many(["bad", "good"], broken=["bad"])
    assert swept(store, Workers(), 3.5)
    assert store.looked == ["good"] * 3


def test_a_request_whose_second_gateway_is_lost_too_is_charged_once_for_all_that_was_sent():
    async def scenario():
        books = Books()
        workers = Workers(sent={"r1": Sent(10, (20,))})
        await abandoned(books, used(5))
        assert await sweeper(books, workers).sweep("acme") == 1
        assert books.totals.settled == 30
        await abandoned(books, used(30), beside("r1", 1))
        workers.answer = Workers(sent={"r1": Sent(10, (50,))}).answer
        assert await sweeper(books, workers).sweep("acme") == 1
        assert workers.asked[-1] == ["r1"]
        assert (books.totals.settled, books.totals.held, books.totals.running) == (60, 0, 0)

    run(scenario())
