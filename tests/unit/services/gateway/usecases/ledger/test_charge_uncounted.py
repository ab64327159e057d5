"""What engines are charged that count for themselves: their deltas have no token ids, and usage comes last."""

import asyncio

import pytest
from headrace.inference.v1 import inference_pb2 as ipb

from libs.testing.loop import run
from services.gateway.domain.ledger.types import End
from services.gateway.domain.turns import Sampling
from tests.unit.services.gateway.usecases.ledger.test_charge import Purse
from tests.unit.services.gateway.usecases.world import Worker, World, ask, capable


class Teller(Worker):
    """An engine behind somebody else's API: text without tokens; what it used is said at the end, if at all."""

    def __init__(self, name, *, hang=False, counted=None):
        super().__init__(name)
        self.hang, self.counted = hang, counted

    async def _stream(self, request, responder, fault, at):
        responder.send(ipb.GenerateResponse(epoch=request.epoch, text="x" * 400))
        call = ipb.ToolCallDelta(id="c", name="look", arguments="y" * 36)
        responder.send(ipb.GenerateResponse(epoch=request.epoch, tool_calls=[call]))
        if self.hang:
            await asyncio.sleep(3600)
        last = ipb.GenerateResponse(epoch=request.epoch, finish=ipb.FINISH_REASON_STOP)
        last.usage.estimated = self.counted is None
        if self.counted is not None:
            last.usage.prompt_tokens, last.usage.completion_tokens = self.counted
        responder.send(last)


async def takes_turns(world):
    world.router.capabilities = capable(prompt=ipb.PROMPT_FORM_MESSAGES)
    world.router.changed.set()
    await asyncio.sleep(0.1)


def test_a_stream_without_token_ids_that_is_dropped_before_its_end_is_charged_for_its_text(tmp_path):
    async def scenario():
        purse = Purse()
        async with World([Teller("a", hang=True)], tmp_path, ledger=purse) as world:
            await takes_turns(world)
            stream = world.stream(ask(max_tokens=500))
            await anext(stream)
            await stream.aclose()
            [end] = purse.settled
            assert (end.end, end.progress.completion_tokens) == (End.SETTLED, 100)
            assert end.progress.prompt_tokens > 0

    run(scenario())


@pytest.mark.parametrize(("counted", "charged"), [((9, 77), 77), (None, 110)])
def test_what_an_engine_says_it_used_counts_and_its_text_where_it_says_nothing(tmp_path, counted, charged):
    async def scenario():
        purse = Purse()
        async with World([Teller("a", counted=counted)], tmp_path, ledger=purse) as world:
            await takes_turns(world)
            await world.answer(ask(max_tokens=500))
            assert purse.settled[0].progress.completion_tokens == charged

    run(scenario())


def test_an_engine_that_counts_for_itself_is_told_the_bound_that_is_held(tmp_path):
    async def scenario():
        purse, worker = Purse(), Teller("a")
        async with World([worker], tmp_path, ledger=purse) as world:
            await takes_turns(world)
            await world.answer(ask(sampling=Sampling()))
            [(request, _)], [(held, _)] = worker.requests, purse.asks
            assert request.sampling.max_tokens == held.tokens - held.prompt.prompt_tokens > 0

    run(scenario())
