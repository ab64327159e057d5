"""A call's money, from the pipeline's side: what is held when, how an answer without more room ends, who pays."""

import pytest
from headrace.inference.v1 import inference_pb2 as ipb

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.domain.ledger.types import End, HoldReply, Outcome, Rate, Standing
from services.gateway.domain.turns import Principal, Sampling, SessionClaim
from services.gateway.events import Delta, Ended, Started
from services.gateway.usecases.ledger.charge import UNDECIDED_SECONDS
from services.gateway.usecases.ledger.testing import NullLedger
from tests.unit.services.gateway.usecases.world import Worker, World, ask

# Of testing.OnePrice, in nano-dollars per token.
INPUT, CACHED, OUTPUT = 1000, 100, 2000


class Purse(NullLedger):
    """Grants extensions while `left` tokens last; `away` counts the answers that the store does not give."""

    def __init__(self, left=10**9, *, away=0):
        super().__init__(keep=True)
        self.left, self.away = left, away
        self.asks, self.extensions = [], []
        self.off = False
        self.ended = {}

    async def hold(self, ask, progress):
        self.asks.append((ask, progress))
        if ask.request_id in self.ended:
            return HoldReply(Outcome.ENDED, ended=self.ended[ask.request_id])
        standing = Standing(Rate(60, 59, 1.0), None, 5_000)
        return HoldReply(Outcome.OK, standing=standing, amount=ask.amount, tokens=ask.tokens)

    async def extend(self, ask, amount, tokens, progress):
        if self.away:
            self.away -= 1
            raise PlatformError(Reason.STORE_UNAVAILABLE, "away", started=False)
        self.extensions.append((tokens, progress.completion_tokens))
        if self.off:
            return Outcome.OFF
        if tokens > self.left:
            return Outcome.NO
        self.left -= tokens
        return Outcome.OK


def tokens_of(events):
    return sum(len(event.response.token_ids) for event in events if type(event) is Delta)


def finish_of(events):
    return [event.response.finish for event in events if type(event) is Delta and event.response.finish]


def test_prompt_and_answer_are_held_before_a_worker_is_asked_and_settled_after(tmp_path):
    async def scenario():
        purse, worker = Purse(), Worker("a")
        async with World([worker], tmp_path, ledger=purse) as world:
            events = await world.answer(ask(max_tokens=5))
            [(held, _)] = purse.asks
            prompt = events[-1].prompt_tokens
            assert (held.amount, held.tokens) == (prompt * INPUT + 5 * OUTPUT, prompt + 5)
            assert held.scopes == ("t", "k:key-1")
            [end] = purse.settled
            cost = (prompt - 3) * INPUT + 3 * CACHED + 5 * OUTPUT
            assert (end.request_id, end.end, end.progress.cost) == ("r1", End.SETTLED, cost)
            assert (events[-1].cost, world.seen.records[0].cost) == (cost, cost)
            assert events[0].standing.budget_remaining == 5_000

    run(scenario())


def test_a_refused_hold_asks_no_worker(tmp_path):
    async def scenario():
        purse, worker = Purse(), Worker("a")

        async def refuse(ask, progress):
            raise PlatformError(Reason.BUDGET_EXCEEDED, "spent", started=False)

        purse.hold = refuse
        async with World([worker], tmp_path, ledger=purse) as world:
            sent, error = await world.failure(ask())
            assert (sent, error.reason, worker.requests) == ([], Reason.BUDGET_EXCEEDED, [])
            assert purse.settled == []

    run(scenario())


def test_user_and_session_tree_are_scopes_of_their_own(tmp_path):
    async def scenario():
        purse = Purse()
        ada = Principal("acme", "key-1", account_user="ada", tags=(("feature", "search"),))
        async with World([Worker("a")], tmp_path, ledger=purse) as world:
            claim = SessionClaim(explicit="sub", source="body", root="tree")
            await world.answer(ask(session=claim, metadata={"feature": "mine", "team": "x"}), ada)
            [(held, _)] = purse.asks
            assert held.scopes == ("t", "u:ada", "k:key-1", "s:tree")
            # The key's own tags win: a caller does not book its calls on others.
            assert held.meta.tags == {"feature": "search", "team": "x"}
            assert (held.meta.session, held.meta.root_session) == ("sub", "tree")

    run(scenario())


def test_a_session_tree_of_somebody_else_cannot_be_made_to_pay(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            await world.answer(ask(session=SessionClaim(explicit="tree", source="body")))
            claim = SessionClaim(explicit="sub", source="body", root="tree")
            _, error = await world.failure(ask(session=claim), Principal("acme", "key-2"))
            assert error.reason is Reason.SESSION_NOT_FOUND

    run(scenario())


def test_a_long_answer_is_held_piece_by_piece_and_delivered_whole(tmp_path):
    async def scenario():
        purse = Purse()
        async with World([Worker("a")], tmp_path, ledger=purse) as world:
            events = await world.answer(ask(max_tokens=3000))
            assert tokens_of(events) == 3000
            assert len(purse.extensions) >= 3
            assert all(done < 3000 for _, done in purse.extensions)
            assert 512 + sum(tokens for tokens, _ in purse.extensions) == 3000
            assert events[-1].truncated == ""

    run(scenario())


@pytest.mark.parametrize("left", [0, 70])
def test_an_answer_without_more_room_ends_as_one_that_is_as_long_as_it_may_be(tmp_path, left):
    async def scenario():
        purse, worker = Purse(left), Worker("a")
        async with World([worker], tmp_path, ledger=purse) as world:
            events = await world.answer(ask(max_tokens=3000))
            assert tokens_of(events) == 512 + left
            assert finish_of(events) == [ipb.FINISH_REASON_LENGTH]
            assert (type(events[-1]), events[-1].truncated) == (Ended, "budget")
            assert world.seen.records[0].truncated == "budget"
            assert worker.cancelled == 1
            [end] = purse.settled
            assert end.progress.completion_tokens == tokens_of(events)

    run(scenario())


def test_what_is_left_of_a_budget_is_used_to_the_last_token(tmp_path):
    async def scenario():
        purse = Purse(left=9)
        async with World([Worker("a")], tmp_path, ledger=purse) as world:
            events = await world.answer(ask(max_tokens=3000))
            # Extensions of the usual size are refused; single tokens are granted as they come.
            assert tokens_of(events) == 512 + 9

    run(scenario())


def test_all_choices_of_a_cut_answer_end(tmp_path):
    async def scenario():
        purse = Purse(left=0)
        async with World([Worker("a")], tmp_path, ledger=purse) as world:
            events = await world.answer(ask(sampling=Sampling(max_tokens=3000, n=3)))
            assert sorted(
                event.response.choice for event in events if type(event) is Delta and event.response.finish
            ) == [0, 1, 2]
            assert tokens_of(events) <= 512

    run(scenario())


def test_an_answer_whose_key_was_taken_back_says_so_and_not_that_its_budget_is_spent(tmp_path):
    async def scenario():
        purse = Purse()
        purse.off = True
        async with World([Worker("a")], tmp_path, ledger=purse) as world:
            events = await world.answer(ask(max_tokens=3000))
            assert (tokens_of(events), events[-1].truncated) == (512, "access_ended")
            assert finish_of(events) == [ipb.FINISH_REASON_LENGTH]

    run(scenario())


def test_a_store_that_is_away_for_a_moment_cuts_no_answer(tmp_path):
    async def scenario():
        purse = Purse(away=3)
        async with World([Worker("a")], tmp_path, ledger=purse) as world:
            events = await world.answer(ask(max_tokens=1000))
            assert (tokens_of(events), events[-1].truncated) == (1000, "")

    run(scenario())


def test_a_store_that_stays_away_cuts_the_answer_at_what_is_held_and_says_so(tmp_path):
    async def scenario():
        purse = Purse(away=10**9)
        async with World([Worker("a")], tmp_path, ledger=purse) as world:
            began = world.clock.monotonic()
            events = await world.answer(ask(max_tokens=1000))
            assert (tokens_of(events), events[-1].truncated) == (512, "store_unavailable")
            assert world.clock.monotonic() - began < UNDECIDED_SECONDS + 0.5

    run(scenario())


def test_a_call_that_delivered_nothing_is_refunded(tmp_path):
    async def scenario():
        purse = Purse()
        worker = Worker("a", [("refuse", Reason.INTERNAL)] * 9)
        async with World([worker], tmp_path, ledger=purse) as world:
            await world.failure(ask())
            assert [end.end for end in purse.settled] == [End.REFUNDED]

    run(scenario())


def test_an_interrupted_stream_is_charged_for_what_was_delivered_and_a_whole_answer_is_not(tmp_path):
    async def scenario():
        for streamed, end_of_it in ((True, End.SETTLED), (False, End.REFUNDED)):
            purse = Purse()
            async with World([Worker("a", [("engine", 4)] * 9)], tmp_path, ledger=purse) as world:
                await world.failure(ask(max_tokens=50, streamed=streamed))
                assert [end.end for end in purse.settled] == [end_of_it]
                if streamed:
                    assert purse.settled[0].progress.completion_tokens == 4

    run(scenario())


def test_a_stream_that_is_resumed_is_charged_once_and_the_platform_bears_the_second_prefill(tmp_path):
    async def scenario():
        purse = Purse()
        workers = [Worker("a", [("die", 4)]), Worker("b")]
        async with World(workers, tmp_path, ledger=purse) as world:
            events = await world.answer(ask(max_tokens=10))
            [end] = purse.settled
            prompt = events[-1].prompt_tokens
            assert (end.progress.completion_tokens, end.progress.prompt_tokens) == (10, prompt)
            assert end.platform == (prompt - 3) * INPUT
            assert len(purse.asks) == 1

    run(scenario())


def test_errors_after_the_hold_tell_what_is_left_too(tmp_path):
    async def scenario():
        worker = Worker("a", [("refuse", Reason.INTERNAL)] * 9)
        async with World([worker], tmp_path, ledger=Purse()) as world:
            _, error = await world.failure(ask())
            assert error.headers["x-ratelimit-remaining-requests"] == "59"

    run(scenario())


def test_a_model_without_a_price_is_refused(tmp_path):
    async def scenario():
        worker = Worker("a")
        async with World([worker], tmp_path, ledger=Purse()) as world:
            world.charges.prices.find = lambda *names: None
            _, error = await world.failure(ask())
            assert (error.reason, worker.requests) == (Reason.PRICE_UNKNOWN, [])

    run(scenario())


def test_a_key_calls_the_models_that_it_may(tmp_path):
    async def scenario():
        worker = Worker("a")
        may = Principal("acme", "key-1", models=frozenset({"small"}))
        async with World([worker], tmp_path) as world:
            for name in ("m", "no-such-model"):
                _, error = await world.failure(ask(model=name), may)
                assert (error.reason, error.http_status) == (Reason.MODEL_NOT_ALLOWED, 403)
            assert worker.requests == []
            await world.answer(ask(model="small"), may)

    run(scenario())


def test_a_choice_of_the_router_must_be_allowed_too(tmp_path):
    async def scenario():
        worker = Worker("a")
        may = Principal("acme", "key-1", models=frozenset({"auto"}))
        async with World([worker], tmp_path) as world:
            world.router.chosen = ["small"]
            _, error = await world.failure(ask(model="auto"), may)
            assert (error.reason, worker.requests) == (Reason.MODEL_NOT_ALLOWED, [])

    run(scenario())


def test_a_request_that_was_charged_when_its_gateway_died_is_corrected_to_the_whole(tmp_path):
    async def scenario():
        purse = Purse()
        purse.ended = {"r1": End.EXPIRED}
        async with World([Worker("a")], tmp_path, ledger=purse) as world:
            events = await world.answer(ask(max_tokens=5))
            assert [held.request_id for held, _ in purse.asks] == ["r1", "r1=1"]
            beside, whole = purse.settled
            assert (beside.request_id, beside.end) == ("r1=1", End.REFUNDED)
            assert (whole.request_id, whole.progress.cost) == ("r1", events[-1].cost)

    run(scenario())


def test_a_request_that_was_refunded_is_charged_by_its_second_hold(tmp_path):
    async def scenario():
        purse = Purse()
        purse.ended = {"r1": End.REFUNDED}
        async with World([Worker("a")], tmp_path, ledger=purse) as world:
            await world.answer(ask(max_tokens=5))
            assert [(end.request_id, end.end) for end in purse.settled] == [("r1+1", End.SETTLED)]

    run(scenario())


def test_held_is_heard_before_any_event(tmp_path):
    async def scenario():
        heard = []
        async with World([Worker("a")], tmp_path, ledger=Purse()) as world:
            stream = world.pipeline.chat(
                ask(), Principal("acme", "key-1"), request_id="r1", deadline=world.clock.monotonic() + 60,
                held=heard.append,
            )  # fmt: skip
            async for batch in stream:
                assert len(heard) == 1
                assert heard[0].requests.limit == 60
                assert type(batch[0]) in (Started, Delta, Ended)

    run(scenario())
