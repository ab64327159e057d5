"""Stored answers in place of 503: whose, of which request, for how long, and that they cost nothing."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from libs.errors import Reason
from libs.testing.loop import run
from services.gateway.domain.record import CallRecord
from services.gateway.domain.turns import Constraints, Principal, Sampling, SessionClaim, Tool
from services.gateway.events import Delta
from services.gateway.usecases.stand_ins import KEEPING_MAX, StandIns
from tests.unit.services.gateway.usecases.cached_answers import MemoryCachedAnswers
from tests.unit.services.gateway.usecases.world import Worker, World, ask, whole

TAKES = Principal("acme", "key-1", cached_answers=True)
OTHERS = Principal("acme", "key-9", cached_answers=True)
EXACT = Sampling(max_tokens=6, temperature=0.0)


class Scene:
    """A world in which `a` answers until `lose` is called."""

    def __init__(self, tmp_path, **options):
        self.counted, self.answers = [], None
        self.world = World([Worker("a")], tmp_path, stand_ins=self._make, **options)

    def _make(self, clock):
        self.answers = MemoryCachedAnswers(clock)
        self.stand_ins = StandIns(self.answers, b"pepper", clock, self.counted.append)
        return self.stand_ins

    async def __aenter__(self):
        await self.world.__aenter__()
        return self

    async def __aexit__(self, *exc):
        await self.world.__aexit__(*exc)

    async def answer(self, principal=TAKES, request=None, **more):
        events = await self.world.answer(
            request or exact(**more), principal, request_id=f"r{len(self.world.seen.records)}"
        )
        await self.stand_ins.close()
        return events

    async def fails(self, principal=TAKES, request=None, **more):
        _, error = await self.world.failure(request or exact(**more), principal)
        return error.reason

    def lose(self):
        self.world.router.workers.clear()


def exact(**more):
    return ask(sampling=more.pop("sampling", EXACT), **more)


def text(events):
    return "".join(event.response.text for event in events if isinstance(event, Delta))


def test_a_stored_answer_stands_in_costs_nothing_and_says_whose_it_is(tmp_path):
    async def scenario():
        async with Scene(tmp_path) as scene:
            made = await scene.answer()
            assert whole(made)
            scene.lose()
            given = await scene.answer(OTHERS)
            assert text(given) == text(made)
            started, ended = given[0], given[-1]
            assert (started.request_id, started.model, started.worker) == ("r1", "m", "")
            assert started.route == "model=m; reason=named; cached-answer=r0"
            assert (ended.cached_answer, ended.cost, ended.completion_tokens) == ("r0", 0, 6)
            record = scene.world.record
            assert (record.error, record.cost, record.stood_in, record.route.replayed_from) == ("", 0, True, "r0")
            # Only the first call was charged.
            assert [end.end.name for end in scene.world.ledger.settled].count("SETTLED") == 1
            assert scene.counted == ["kept", "given"]

    run(scenario())


@pytest.mark.parametrize(
    "other",
    [
        {"text": "hello!"}, {"model": "small"}, {"tools": (Tool("f", "d", ""),)},
        {"sampling": Sampling(max_tokens=7, temperature=0.0)},
        {"sampling": Sampling(max_tokens=6, temperature=0.0, seed=1)},
        {"sampling": Sampling(max_tokens=6, temperature=0.0, stop=("x",))},
    ],
)  # fmt: skip
def test_another_request_is_not_answered_with_it(tmp_path, other):
    async def scenario():
        async with Scene(tmp_path) as scene:
            await scene.answer()
            scene.lose()
            assert await scene.fails(**other) is Reason.NO_WORKER
            assert scene.counted == ["kept", "missed"]

    run(scenario())


@pytest.mark.parametrize("who", [{"user": "bob"}, {"metadata": {"a": "b"}}, {"session": SessionClaim("s1", "body")}])
def test_who_asks_and_where_from_makes_no_other_request(tmp_path, who):
    async def scenario():
        async with Scene(tmp_path) as scene:
            await scene.answer()
            scene.lose()
            assert text(await scene.answer(**who))

    run(scenario())


@pytest.mark.parametrize("stranger", [replace(TAKES, tenant="other"), replace(TAKES, cached_answers=False)])
def test_neither_another_tenant_nor_a_key_that_did_not_ask_for_it_gets_one(tmp_path, stranger):
    async def scenario():
        async with Scene(tmp_path) as scene:
            await scene.answer()
            scene.lose()
            assert await scene.fails(stranger) is Reason.NO_WORKER

    run(scenario())


@pytest.mark.parametrize(
    "never",
    [
        {"sampling": Sampling(max_tokens=6)},
        {"sampling": Sampling(max_tokens=6, temperature=0.1)},
        {"sampling": Sampling(max_tokens=6, temperature=0.0, n=2)},
        {"sampling": Sampling(max_tokens=6, temperature=0.0, logprobs=1)},
    ],
)
def test_what_would_not_come_out_the_same_is_not_kept(tmp_path, never):
    async def scenario():
        async with Scene(tmp_path) as scene:
            await scene.answer(**never)
            await scene.answer(replace(TAKES, cached_answers=False))
            assert scene.answers.kept == {}
            scene.lose()
            assert await scene.fails(**never) is Reason.NO_WORKER

    run(scenario())


def test_an_answer_that_money_cut_is_not_kept(tmp_path):
    async def scenario():
        async with Scene(tmp_path) as scene:
            await scene.answer(constraints=Constraints(max_cost=10**9))
            assert scene.answers.kept == {}

    run(scenario())


def test_an_hour_ends_it_whatever_the_store_thinks(tmp_path):
    async def scenario():
        async with Scene(tmp_path) as scene:
            await scene.answer()
            scene.answers.kept = {key: (answer, 10**9) for key, (answer, _) in scene.answers.kept.items()}
            await scene.world.clock.sleep(3601)
            scene.lose()
            assert await scene.fails() is Reason.NO_WORKER

    run(scenario())


def test_a_store_that_is_away_or_lies_costs_the_answer_and_no_more(tmp_path):
    async def scenario():
        async with Scene(tmp_path) as scene:
            await scene.answer()
            scene.answers.kept = dict.fromkeys(scene.answers.kept, (b"\xc1 no answer", 10**9))
            scene.lose()
            assert await scene.fails() is Reason.NO_WORKER
            scene.answers.down = True
            assert await scene.fails() is Reason.NO_WORKER

    run(scenario())


def test_a_call_at_fault_and_a_part_that_was_sent_get_none(tmp_path):
    async def scenario():
        async with Scene(tmp_path) as scene:
            await scene.answer()
            scene.world.workers["a"].script = [("refuse", Reason.INVALID_REQUEST), ("fail", 2)]
            assert await scene.fails() is Reason.INVALID_REQUEST
            assert await scene.fails() is Reason.STREAM_INTERRUPTED

    run(scenario())


def test_while_the_router_is_away_it_stands_in_too(tmp_path):
    async def scenario():
        async with Scene(tmp_path) as scene:
            made = await scene.answer()
            scene.world.router_channel.lose()
            await scene.world.clock.sleep(0.1)
            assert text(await scene.answer()) == text(made)

    run(scenario())


def test_a_key_gets_no_answer_of_a_model_that_it_may_not_use(tmp_path):
    async def scenario():
        async with Scene(tmp_path) as scene:
            scene.world.router.chosen = ["m"]
            await scene.answer(model="auto")
            scene.lose()
            restricted = replace(TAKES, models=frozenset({"small"}))
            scene.world.router.chosen = ["small"]
            assert await scene.fails(restricted, model="auto") is Reason.NO_WORKER
            assert text(await scene.answer(model="auto"))

    run(scenario())


def test_what_goes_into_the_store_has_no_word_of_the_prompt_and_is_bounded(tmp_path):
    async def scenario():
        async with Scene(tmp_path) as scene:
            await scene.answer(text="a secret of mine")
            ((_, digest), (answer, _)) = next(iter(scene.answers.kept.items()))
            assert b"secret" not in answer
            assert len(digest) == 48
            assert msgspec.msgpack.decode(answer)["content"]
            record = CallRecord("r", "acme", "m", finishes=("stop",), principal=TAKES, request=exact())
            kept = scene.stand_ins.text_for(exact(), TAKES)
            scene.counted.clear()
            for _ in range(KEEPING_MAX + 3):
                scene.stand_ins.keep(record, kept)
            assert scene.counted == ["dropped"] * 3
            await scene.stand_ins.close()
            assert scene.counted.count("kept") == KEEPING_MAX

    run(scenario())
