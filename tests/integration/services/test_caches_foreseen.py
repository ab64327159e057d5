"""Gateway, router and workers together: what a router foresees of a cache is what the worker finds in it.

Three pieces of code hash the same prompt: the gateway before Place, the engine as its blocks fill, and the router that
compares. All are the real ones; channels are in memory and time is virtual.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run
from services.gateway.adapters.assembly import PipelineOptions, open_pipeline
from services.gateway.domain.turns import ChatRequest, Principal, Role, Sampling, SessionClaim, Turn
from services.gateway.usecases.ledger.testing import NullLedger, null_charges
from services.router.main import Ports, compose
from services.router.settings import RouterSettings
from tests.unit.services.gateway.usecases.world import Owners, Seen
from tests.unit.services.inference.world import world
from tests.unit.services.router.fake_choice import choice_ports
from tests.unit.services.router.fake_store import FakeStore

WORDS = "the river runs by the old mill and turns its wheel "
BLOCK = 8


class Chain:
    def __init__(self, workers, stack):
        self.workers, self.stack, self.clock = workers, stack, FakeClock()
        self.seen, self.registry = Seen(), Registry()

    def dial_worker(self, address):
        return InMemoryChannel(self.workers[address].worker.api.handlers(), address=address)

    async def open(self, tmp_path):
        settings = RouterSettings(workers=tuple(self.workers))
        ports = Ports(FakeStore(), self.dial_worker, self.clock, self.registry, choice_ports({}), lambda: 0.5)
        self.router = compose(settings, ports)
        for loop in self.router.loops.values():
            self.stack.push_async_callback(stop, asyncio.create_task(loop()))
        charges = null_charges(self.clock, NullLedger())
        options = PipelineOptions(("router",), "trunk", "trunk", "", b"pepper", tmp_path / "tokenizers", warm=False)
        opened = await open_pipeline(
            self.stack, options, Owners(), charges, self.clock, observers=[self.seen], dialler=self._dial
        )
        self.pipeline = opened.chat
        while not self.pipeline.models():
            await asyncio.sleep(0.01)

    def _dial(self, address, transport):
        if address == "router":
            return InMemoryChannel(self.router.api.handlers(), address=address, identity="gateway")
        return self.dial_worker(address)

    async def ask(self, *texts, tenant="acme", session=""):
        """The record of a call whose turns are these texts, user and assistant by turns."""
        roles = (Role.USER, Role.ASSISTANT)
        turns = tuple(Turn(roles[place % 2], text) for place, text in enumerate(texts))
        claim = SessionClaim(explicit=session, source="x-session-id") if session else SessionClaim()
        request = ChatRequest(model="tiny", turns=turns, sampling=Sampling(max_tokens=6), session=claim)
        deadline = self.clock.monotonic() + 60.0
        events = self.pipeline.chat(request, Principal(tenant, "key"), request_id="r", deadline=deadline)
        async for _ in events:
            pass
        # The worker tells its blocks within a moment.
        await asyncio.sleep(0.3)
        return self.seen.records[-1]

    def metric(self, name):
        lines = self.registry.render()[1].decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


async def stop(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def chain(tmp_path, count=2, **simulated):
    async with AsyncExitStack() as workers_stack:
        workers = {}
        for number in range(count):
            made = world(tmp_path / f"w{number}", block_tokens=BLOCK, name=f"w{number}", **simulated)
            workers[f"w{number}:1"] = await workers_stack.enter_async_context(made)
        async with AsyncExitStack() as stack:
            made = Chain(workers, stack)
            await made.open(tmp_path)
            yield made


def test_what_is_foreseen_is_found_and_calls_go_where_it_is(tmp_path):
    async def scenario():
        async with chain(tmp_path) as here:
            first = await here.ask(WORDS * 6)
            again = [await here.ask(WORDS * 6 + tail) for tail in ("one", "two", "three")]
            await asyncio.sleep(1.0)
            return first, again, here

    first, again, here = run(scenario())
    assert (first.route.predicted, first.cached_tokens) == (0, 0)
    for record in again:
        assert record.cached_tokens >= 4 * BLOCK
        assert record.route.predicted == record.cached_tokens
        assert record.worker == first.worker
    assert here.metric("headrace_router_predictions_total") == 4
    foreseen = here.metric('headrace_router_cached_tokens_total{kind="predicted"')
    assert foreseen == here.metric('headrace_router_cached_tokens_total{kind="reported"') > 0


def test_another_tenants_cache_is_nobodys_to_foresee(tmp_path):
    async def scenario():
        async with chain(tmp_path) as here:
            await here.ask(WORDS * 6)
            return await here.ask(WORDS * 6, tenant="other")

    record = run(scenario())
    assert (record.route.predicted, record.cached_tokens) == (0, 0)


def test_what_was_evicted_is_not_foreseen(tmp_path):
    async def scenario():
        async with chain(tmp_path, count=1, blocks=24) as here:
            texts = [f"{letter} {WORDS * 6}" for letter in "abcdef"]
            for text in texts:
                await here.ask(text)
            # What the router has just sent a worker it believes to be there for a while, whatever else came.
            await asyncio.sleep(1.1 * RouterSettings(workers=("w:1",)).placement.expected_seconds)
            return [await here.ask(text) for text in (texts[-1], texts[0])]

    newest, oldest = run(scenario())
    assert newest.route.predicted == newest.cached_tokens > 0
    assert oldest.route.predicted == oldest.cached_tokens == 0
