"""The money of a call that another gateway has begun, and of one whose gateway stops."""

import asyncio

import pytest
from headrace.inference.v1 import inference_pb2 as ipb

from libs.errors import Reason
from libs.money import NANODOLLARS_MAX
from libs.testing.loop import run
from services.gateway.domain.accounts.records import Price
from services.gateway.domain.ledger.types import End, HoldReply, Outcome
from services.gateway.usecases.taken_up import TakenUp
from tests.unit.services.gateway.usecases.ledger.test_charge import Purse, tokens_of
from tests.unit.services.gateway.usecases.world import ALICE, Worker, World, ask

PART = TakenUp("another digest", (ipb.GenerateResponse(token_ids=[100], text="<100>"),))


class Leaving(Purse):
    def __init__(self):
        super().__init__()
        self.left_to_others = []

    def leave(self, ask):
        self.left_to_others.append(ask.request_id)


def taken_up(world, **changes):
    deadline = world.clock.monotonic() + 60
    return world.pipeline.chat(ask(**changes), ALICE, request_id="r1", deadline=deadline, part=PART)


@pytest.mark.parametrize(("streamed", "left"), [(True, ["r1"]), (False, [])])
def test_what_a_lost_gateway_delivered_is_not_free_because_the_next_one_fails(tmp_path, streamed, left):
    async def scenario():
        purse, worker = Leaving(), Worker("a", [("refuse", Reason.INTERNAL)] * 9)
        async with World([worker], tmp_path, ledger=purse) as world:
            with pytest.raises(Exception, match="refuses"):
                async for _ in taken_up(world, streamed=streamed):
                    pass
            [(held, _)] = purse.asks
            assert held.inherited
            assert purse.left_to_others == left
            assert [end.end for end in purse.settled] == ([] if left else [End.REFUNDED])

    run(scenario())


def test_only_what_the_lost_gateway_held_may_be_delivered_without_asking(tmp_path):
    async def scenario():
        purse = Purse(left=0)
        holding = purse.hold

        async def less(ask, progress):
            reply = await holding(ask, progress)
            reply.tokens = ask.prompt.prompt_tokens + 3
            return reply

        purse.hold = less
        async with World([Worker("a")], tmp_path, ledger=purse) as world:
            events = await world.answer(ask(max_tokens=50))
            assert (tokens_of(events), events[-1].truncated) == (3, "budget")

    run(scenario())


def test_nothing_is_made_under_a_hold_that_has_ended(tmp_path):
    async def scenario():
        purse, worker = Purse(), Worker("a")

        async def ended(ask, progress):
            return HoldReply(Outcome.ENDED, ended=End.EXPIRED)

        purse.hold = ended
        async with World([worker], tmp_path, ledger=purse) as world:
            sent, error = await world.failure(ask())
            assert (sent, worker.requests, purse.settled) == ([], [], [])
            assert "Idempotency-Key" in error.message

    run(scenario())


@pytest.mark.parametrize(
    ("words", "ends"), [((), End.SETTLED), (("its grace is over",), End.REFUNDED)], ids=["leaves", "stops"]
)
def test_a_whole_answer_is_charged_when_its_client_leaves_and_not_when_the_gateway_stops(tmp_path, words, ends):
    async def scenario():
        purse, worker = Purse(), Worker("a", [("hang", 4)])
        async with World([worker], tmp_path, ledger=purse) as world:

            async def read():
                async for _ in world.stream(ask(max_tokens=50, streamed=False)):
                    pass

            call = asyncio.create_task(read())
            await asyncio.sleep(1)
            call.cancel(*words)
            await asyncio.gather(call, return_exceptions=True)
            assert [end.end for end in purse.settled] == [ends]

    run(scenario())


@pytest.mark.parametrize("ended", [End.EXPIRED, End.SETTLED])
def test_what_was_charged_already_is_never_charged_again_beside_it(tmp_path, ended):
    async def scenario():
        purse = Purse()
        purse.ended = {"r1": ended, "r1=1": End.REFUNDED}
        async with World([Worker("a")], tmp_path, ledger=purse) as world:
            await world.answer(ask(max_tokens=5))
            assert [(end.request_id, end.end) for end in purse.settled] == [
                ("r1=2", End.REFUNDED),
                ("r1", End.SETTLED),
            ]

    run(scenario())


def test_what_may_cost_more_than_the_store_counts_exactly_is_refused(tmp_path):
    async def scenario():
        purse, worker = Purse(), Worker("a", [("refuse", Reason.INTERNAL)] * 9)
        dear = Price(model="m", input_nanodollars=0, cached_nanodollars=0, output_nanodollars=NANODOLLARS_MAX)
        async with World([worker], tmp_path, ledger=purse) as world:
            world.router.window = 2**24
            world.router.changed.set()
            await asyncio.sleep(0.1)
            world.charges.prices.find = lambda *names: dear
            _, error = await world.failure(ask(max_tokens=2_000_000))
            assert (error.reason, purse.asks, worker.requests) == (Reason.BUDGET_EXCEEDED, [], [])

    run(scenario())
