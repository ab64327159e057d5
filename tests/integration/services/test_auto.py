"""Gateway, router and workers together: `auto` from a question to the tier that answers it, and what the reply says.

The real pipeline asks the real router, whose judge is the shipped classifier; each tier is one real worker. Channels
are in memory and time is virtual.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from cli.demo.tiers import EASY, HARD
from libs.errors import PlatformError, Reason
from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run
from services.gateway.adapters.assembly import PipelineOptions, open_pipeline
from services.gateway.api.headers import answer_headers
from services.gateway.domain.route_record import route_record
from services.gateway.domain.turns import ChatRequest, Principal, Role, Sampling, SessionClaim, Turn
from services.gateway.usecases.ledger.testing import NullLedger, null_charges
from services.router.composition.choice import ChoicePorts
from services.router.domain.classifier import Classifier
from services.router.main import Ports, compose
from services.router.policy_settings import TierPoolSettings, TiersSettings
from services.router.settings import RouterSettings
from tests.unit.services.gateway.usecases.world import Owners, Seen
from tests.unit.services.inference.world import world
from tests.unit.services.router.fake_choice import FakeRoutes, FakeVariants
from tests.unit.services.router.fake_store import FakeStore

TIERS = {"small": "w-small:1", "large": "w-large:1"}
# Longer than the router takes to notice that a worker says nothing.
NOTICED_SECONDS = 10.0


def tier(pool, dollars):
    return TierPoolSettings(pool=pool, input_usd_per_million=dollars, output_usd_per_million=4 * dollars)


class Installation:
    def __init__(self, workers, stack):
        self.workers, self.stack, self.clock = workers, stack, FakeClock()
        self.seen, self.channels, self.dead = Seen(), {}, set()

    async def open(self, tmp_path):
        tiers = TiersSettings(small=(tier("small", 1),), large=(tier("large", 5),))
        settings = RouterSettings(workers=tuple(self.workers), tiers=tiers)
        choice = ChoicePorts(Classifier.load(None), FakeRoutes(), FakeVariants())
        ports = Ports(FakeStore(), self.dial_worker, self.clock, Registry(), choice, lambda: 0.5)
        self.router = compose(settings, ports)
        for loop in self.router.loops.values():
            self.stack.push_async_callback(stop, asyncio.create_task(loop()))
        charges = null_charges(self.clock, NullLedger())
        options = PipelineOptions(("router",), "trunk", "trunk", "", b"pepper", tmp_path / "tokenizers", warm=False)
        opened = await open_pipeline(
            self.stack, options, Owners(), charges, self.clock, observers=[self.seen], dialler=self._dial
        )
        self.pipeline = opened.chat
        while not {"auto", "small", "large"} <= {model.name for model in self.pipeline.models()}:
            await asyncio.sleep(0.01)

    def _dial(self, address, transport):
        if address == "router":
            return InMemoryChannel(self.router.api.handlers(), address=address, identity="gateway")
        return self.dial_worker(address)

    def dial_worker(self, address):
        channel = InMemoryChannel(self.workers[address].worker.api.handlers(), address=address)
        self.channels.setdefault(address, []).append(channel)
        if address in self.dead:
            channel.lose()
        return channel

    def kill(self, name):
        """As SIGKILL: its connections break, and there are no new ones."""
        self.dead.add(TIERS[name])
        for channel in self.channels[TIERS[name]]:
            channel.lose()

    async def ask(self, text, model="auto", session="", principal=None):
        """The reply's `x-headrace-route`, as the pairs that it holds."""
        claim = SessionClaim(explicit=session, source="x-session-id") if session else SessionClaim()
        turns = (Turn(Role.USER, text),)
        request = ChatRequest(model=model, turns=turns, sampling=Sampling(max_tokens=6), session=claim)
        deadline = self.clock.monotonic() + 60.0
        batches = self.pipeline.chat(request, principal or Principal("acme", "key"), request_id="r", deadline=deadline)
        events = [event async for batch in batches for event in batch]
        header = dict(answer_headers(events[0]))[b"x-headrace-route"].decode()
        assert events[-1].route == header
        return dict([pair.split("=", 1) for pair in header.split("; ")])


async def stop(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def installation(tmp_path):
    """One worker per tier, of the same weights."""
    async with AsyncExitStack() as workers_stack:
        workers = {}
        for name, address in TIERS.items():
            made = world(tmp_path / name, name=f"w-{name}", pools=(name,), engine_window=4096)
            workers[address] = await workers_stack.enter_async_context(made)
        async with AsyncExitStack() as stack:
            made = Installation(workers, stack)
            await made.open(tmp_path)
            yield made


def test_an_easy_question_goes_to_the_small_tier_and_a_hard_one_to_the_large(tmp_path):
    async def scenario():
        async with installation(tmp_path) as here:
            easy, hard = await here.ask(EASY), await here.ask(HARD)
            return easy, hard, [route_record(record.route).shown() for record in here.seen.records]

    easy, hard, (easy_record, hard_record) = run(scenario())
    assert (easy["model"], easy["tier"], easy["reason"], easy["worker"]) == ("small", "small", "classified", "w-small")
    assert (hard["model"], hard["tier"], hard["reason"], hard["worker"]) == ("large", "large", "classified", "w-large")
    assert float(easy["p-small"]) > float(hard["p-small"])
    for record, shown in ((easy_record, easy), (hard_record, hard)):
        decision = record["decision"]
        assert (decision["tier"], f"{decision['small_probability']:.2f}") == (shown["tier"], shown["p-small"])
        assert decision["features"]
        assert [choice["model"] for choice in record["choices"] if choice["used"]] == [shown["model"]]
        assert {choice["model"] for choice in record["choices"]} == {"small", "large"}
        assert [place["worker"] for place in record["candidates"]] == [shown["worker"]]


@pytest.mark.parametrize(("gone", "left", "question"), [("small", "large", EASY), ("large", "small", HARD)])
def test_when_a_tiers_only_worker_is_gone_the_other_tier_answers(tmp_path, gone, left, question):
    async def scenario():
        async with installation(tmp_path) as here:
            assert (await here.ask(question))["tier"] == gone
            here.kill(gone)
            at_once = [await here.ask(question) for _ in range(8)]
            passed = [record.route.passed_over for record in here.seen.records[1:]]
            await asyncio.sleep(NOTICED_SECONDS)
            return at_once, passed, await here.ask(question)

    at_once, passed, later = run(scenario())
    for told, models in zip(at_once, passed, strict=True):
        assert (told["model"], told["tier"], told["worker"]) == (left, left, f"w-{left}")
        assert told["reason"].startswith("fallback-")
        assert [each.model for each in models] in ([gone], [])
    # The first had to find out.
    assert (at_once[0]["fallbacks"], [each.tried for each in passed[0]]) == ("1", [True])
    assert (later["model"], "fallbacks" in later) == (left, False)


def test_a_named_tier_is_obeyed_and_says_when_to_come_again(tmp_path):
    async def scenario():
        async with installation(tmp_path) as here:
            told = await here.ask(EASY, model="large")
            here.kill("large")
            with pytest.raises(PlatformError) as caught:
                await here.ask(EASY, model="large")
            return told, caught.value

    told, error = run(scenario())
    assert (told["model"], told["reason"], told["worker"]) == ("large", "named", "w-large")
    assert (error.reason, error.http_status) == (Reason.NO_WORKER, 503)
    assert (bool(error.retry_after_seconds), "'large'" in error.message) == (True, True)


def test_with_no_tier_left_the_client_hears_when_to_come_again(tmp_path):
    async def scenario():
        async with installation(tmp_path) as here:
            for name in TIERS:
                here.kill(name)
            found = []
            for wait in (0.0, 0.0, NOTICED_SECONDS):
                await asyncio.sleep(wait)
                with pytest.raises(PlatformError) as caught:
                    await here.ask(EASY)
                found.append(caught.value)
            return found

    for error in run(scenario()):
        assert (error.http_status, error.started) == (503, False)
        assert error.retry_after_seconds


def test_a_session_keeps_the_tier_that_it_was_given(tmp_path):
    """Down is slow: an easy question does not throw away what the large tier has cached of a hard one."""

    async def scenario():
        async with installation(tmp_path) as here:
            first = await here.ask(HARD, session="s1")
            return first, await here.ask(EASY, session="s1"), await here.ask(EASY, session="s2")

    first, second, other = run(scenario())
    assert (first["tier"], second["tier"], other["tier"]) == ("large", "large", "small")
    assert second["reason"] == "sticky"


def test_a_key_is_given_nothing_beyond_its_models(tmp_path):
    async def scenario():
        async with installation(tmp_path) as here:
            return await here.ask(HARD, principal=Principal("acme", "key", models=frozenset({"small"})))

    assert run(scenario())["model"] == "small"
