"""Choosing over fake stores and a fake judge that reads the score off the text."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from libs.errors import PlatformError, Reason
from libs.telemetry.metrics import Registry as MetricRegistry
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.router.composition.choice import compose_choice, splits_of
from services.router.domain.binding import SessionKey
from services.router.domain.classifier.facts import TurnFacts
from services.router.domain.registry import Registry
from services.router.domain.worker import Description, StateMessage
from services.router.settings import RouterSettings
from services.router.usecases.choosing import ChooseQuery
from services.router.usecases.fleet import Fleet
from tests.unit.services.router.fake_choice import choice_ports

PRICES = {
    "small": {"input_usd_per_million": "0.10", "cached_usd_per_million": "0.01", "output_usd_per_million": "0.40"},
    "large": {"input_usd_per_million": "0.50", "cached_usd_per_million": "0.05", "output_usd_per_million": "2"},
    "frontier": {"input_usd_per_million": "3", "cached_usd_per_million": "0.30", "output_usd_per_million": "15"},
}
TIERS = {
    "small": [{"pool": "s1", **PRICES["small"]}, {"pool": "s2", **PRICES["small"]}],
    "large": [{"pool": "l1", **PRICES["large"]}],
    "frontier": [{"pool": "f1", **PRICES["frontier"]}],
}
SPLIT = {"s1": [{"name": "stable", "model": "m-a", "weight": 1000}, {"name": "canary", "model": "m-b", "weight": 1}]}
NAMES = ("s1", "s2", "l1", "f1", "m-a", "m-b")


class World:
    """One router; `replica` is another one over the same stores."""

    def __init__(self, live=NAMES, ports=None, **settings):
        self.settings = RouterSettings(**({"tiers": TIERS} | settings))
        self.clock = FakeClock()
        self.fleet = Fleet(Registry([f"{name}:1" for name in NAMES], 0.8), self.clock)
        for name in NAMES:
            self.fleet.heard(f"{name}:1", _state(draining=name not in live))
            self.fleet.described(f"{name}:1", Description(name, "b", name, (), "d"))
        self.ports = ports or choice_ports(splits_of(self.settings))
        choice = compose_choice(
            self.settings, self.fleet, self.ports, MetricRegistry(), clock=self.clock, random=lambda: 0.5
        )
        self.choosing, self.desk = choice.choosing, choice.desk

    def replica(self, **changes):
        return World(ports=self.ports, **({"tiers": TIERS} | changes))

    async def ask(self, text="0.1", *, model="auto", session="s", turns=1, allowed=(), floor="", **facts):
        facts = TurnFacts(text=text, user_turns=turns, context_characters=4000, **facts)
        return await self.choosing.choose(ChooseQuery("t", model, session, "", facts, floor, tuple(allowed)))


@asynccontextmanager
async def world(**settings):
    yield World(**settings)


def _state(*, draining):
    return StateMessage("b", 1, snapshot=True, running=0, waiting=0, draining=draining, healthy=True)


def names(chosen):
    return [pick.model for pick in chosen.picks]


def reasons(chosen):
    return [pick.reason.value for pick in chosen.picks]


def tried(scenario, **settings):
    async def main():
        async with world(**settings) as made:
            await scenario(made)

    run(main())


def test_an_easy_turn_goes_small_and_a_hard_one_large_each_with_its_fallbacks_and_its_reason():
    async def scenario(made):
        easy = await made.ask("0.1", session="")
        assert names(easy) == ["s1", "s2", "l1", "f1"]
        assert reasons(easy) == ["classified", "fallback-same-tier", "fallback-up", "fallback-up"]
        assert (easy.decision.tier, easy.decision.judgement.small_probability) == ("small", 0.9)
        assert "score 0.10 is small" in easy.decision.why
        hard = await made.ask("0.7", session="")
        assert names(hard) == ["l1", "f1", "s1", "s2"]

    tried(scenario)


def test_without_a_session_no_store_is_asked():
    async def scenario(made):
        await made.ask("0.1", session="")
        assert made.ports.routes.calls == 0

    tried(scenario)


def test_what_nothing_is_known_of_is_decided_by_policy_never_small_by_itself():
    async def scenario(made):
        found = await made.ask("hello there", session="")
        assert (found.picks[0].tier, found.picks[0].reason) == ("large", "unsure")
        assert found.decision.judgement.unsure
        assert found.decision.judgement.small_probability is None

    tried(scenario)


def test_a_session_stays_in_its_loop_without_the_store_and_without_the_judge():
    async def scenario(made):
        await made.ask("0.7")
        asked, judged = made.ports.routes.calls, made.ports.judge.calls
        for depth in range(1, 6):
            found = await made.ask("0.7", tool_depth=depth)
            assert (found.picks[0].tier, found.picks[0].reason) == ("large", "sticky")
            assert found.decision.judgement is None
        assert (made.ports.routes.calls, made.ports.judge.calls) == (asked, judged)

    tried(scenario)


def test_replicas_count_the_same_turns_and_move_together():
    async def scenario(one):
        two = one.replica()
        await one.ask("0.7", turns=1)
        assert (await two.ask("0.1", turns=2)).picks[0].tier == "large"
        moved = await one.ask("0.2", turns=3)
        assert (moved.picks[0].tier, moved.decision.previous) == ("small", "large")
        loop = await two.ask("0.2", turns=3, tool_depth=1)
        assert (loop.picks[0].tier, loop.picks[0].reason) == ("small", "sticky")

    tried(scenario)


def test_replicas_lift_a_stalled_agent_once():
    async def scenario(one):
        two = one.replica()
        await one.ask("0.1")
        await two.ask("0.1", tool_depth=1)
        assert (await one.ask("0.1", tool_depth=3, repeats=3)).picks[0].reason == "stalled"
        again = await two.ask("0.1", tool_depth=4, repeats=4)
        assert (again.picks[0].tier, again.picks[0].reason) == ("large", "sticky")

    tried(scenario)


def test_a_store_that_is_down_takes_no_answer_away_and_wins_when_it_is_back():
    async def scenario(made):
        await made.ask("0.7")
        made.ports.routes.up = False
        known = await made.ask("0.7", tool_depth=1)
        assert (known.picks[0].tier, "store" in known.decision.why) == ("large", False)
        fresh = await made.ask("0.1", session="other")
        assert fresh.picks[0].tier == "small"
        assert "the store is down" in fresh.decision.why
        elsewhere = made.replica()
        made.ports.routes.up = True
        await elsewhere.ask("0.7", session="other")
        back = await made.ask("0.1", session="other", tool_depth=1)
        assert (back.picks[0].tier, "store" in back.decision.why) == ("large", False)

    tried(scenario)


def test_the_floor_lifts_one_call_and_leaves_the_session_where_it_is():
    async def scenario(made):
        await made.ask("0.1")
        found = await made.ask("0.1", tool_depth=1, floor="large")
        assert (found.picks[0].tier, found.picks[0].reason) == ("large", "floor")
        assert set(names(found)) == {"l1", "f1"}
        assert (await made.ask("0.1", tool_depth=2)).picks[0].tier == "small"

    tried(scenario)


@pytest.mark.parametrize(("floor", "tiers"), [("huge", TIERS), ("frontier", {"small": TIERS["small"]})])
def test_a_floor_that_nobody_can_keep_is_the_callers_mistake(floor, tiers):
    async def scenario(made):
        with pytest.raises(PlatformError) as caught:
            await made.ask(floor=floor)
        assert (caught.value.reason, caught.value.param) == (Reason.INVALID_REQUEST, "min_tier")

    tried(scenario, tiers=tiers)


def test_only_allowed_models_are_named():
    async def scenario(made):
        assert names(await made.ask("0.1", session="", allowed=["auto", "s2", "f1"])) == ["s2", "f1"]
        dearer = await made.ask("0.1", session="", allowed=["l1"])
        assert dearer.decision.why.endswith("; the key may use nothing of small: large answers")
        for nothing in ("other", "auto"):
            with pytest.raises(PlatformError) as caught:
                await made.ask("0.1", allowed=[nothing])
            assert caught.value.reason is Reason.MODEL_NOT_ALLOWED

    tried(scenario)


def test_pools_without_a_live_worker_come_last_and_the_tier_says_why_another_answers():
    async def scenario(made):
        found = await made.ask("0.1", session="")
        assert names(found) == ["l1", "f1", "s1", "s2"]
        assert (found.decision.tier, found.picks[0].reason) == ("small", "fallback-up")
        assert "no live worker of small: large answers" in found.decision.why

    tried(scenario, live=("l1", "f1"))


def test_cheap_and_best_shift_what_auto_would_do():
    async def scenario(made):
        tiers = [(await made.ask("0.6", session="", model=name)).picks[0].tier for name in ("auto:cheap", "auto")]
        assert tiers == ["small", "large"]
        assert (await made.ask("0.4", session="", model="auto:best")).picks[0].tier == "large"

    tried(scenario)


def test_without_tiers_auto_is_unknown_and_the_error_says_what_to_set():
    async def scenario(made):
        with pytest.raises(PlatformError) as caught:
            await made.ask(model="auto:best")
        assert (caught.value.reason, caught.value.param) == (Reason.MODEL_NOT_FOUND, "model")
        assert "`tiers`" in caught.value.message
        assert "s1" in caught.value.message

    tried(scenario, tiers={})


def test_a_named_model_is_obeyed():
    async def scenario(made):
        found = await made.ask(model="l1")
        assert (names(found), reasons(found), found.decision) == (["l1"], ["asked"], None)
        with pytest.raises(PlatformError) as caught:
            await made.ask(model="nobody")
        assert caught.value.reason is Reason.MODEL_NOT_FOUND

    tried(scenario)


def test_a_split_pool_answers_with_its_variant_named_or_chosen():
    async def scenario(made):
        named = await made.ask(model="s1")
        assert [(each.model, each.variant, each.reason, each.pool) for each in named.picks] == [
            ("m-a", "stable", "variant", "s1"),
            ("m-b", "canary", "fallback-same-tier", "s1"),
        ]
        chosen = await made.ask("0.1")
        assert (chosen.picks[0].model, chosen.picks[0].variant, chosen.picks[0].reason) == (
            "m-a",
            "stable",
            "classified",
        )
        assert names(chosen)[:3] == ["m-a", "m-b", "s2"]

    tried(scenario, variants=SPLIT)


def test_sessions_keep_their_variant_when_weights_change_and_lose_it_when_it_is_stopped():
    async def scenario(made):
        await made.ask(model="s1", session="old")
        await made.desk.set_weights("s1", {"stable": 0, "canary": 1})
        two = made.replica(variants=SPLIT)
        await two.desk.look()
        for router in (made, two):
            assert (await router.ask(model="s1", session="old")).picks[0].variant == "stable"
            assert (await router.ask("0.1", session="old")).picks[0].variant == "stable"
        assert (await two.ask(model="s1", session="new")).picks[0].variant == "canary"
        two.desk.splits["s1"] = two.desk.splits["s1"].with_stop("stable", "failures")
        moved = await two.ask(model="s1", session="old")
        assert [each.variant for each in moved.picks] == ["canary"]
        assert made.ports.routes.stored[SessionKey("t", "old")].route.variant("s1") == "canary"

    tried(scenario, variants=SPLIT)


def test_a_variant_without_workers_is_stood_in_for_and_kept():
    async def scenario(made):
        found = await made.ask(model="s1")
        assert [each.variant for each in found.picks] == ["canary", "stable"]
        assert made.ports.routes.stored[SessionKey("t", "s")].route.variant("s1") == "stable"

    tried(scenario, variants=SPLIT, live=("m-b", "l1"))


def test_a_store_that_has_lost_versions_is_asked_no_more_often_than_before():
    """As after a failover, or where a session expired and came back by another replica."""

    async def scenario(made):
        for turns in range(1, 9):
            await made.ask("0.7", turns=turns)
        routes = made.ports.routes
        routes.stored.clear()
        await made.replica().ask("0.7", turns=9)
        assert routes.stored[SessionKey("t", "s")].version == 1
        await made.ask("0.7", turns=9, tool_depth=1)
        asked = routes.calls
        await made.ask("0.7", turns=9, tool_depth=2)
        assert routes.calls == asked

    tried(scenario)


def test_many_calls_of_a_session_at_once_agree():
    async def scenario(one):
        two = one.replica()
        asked = [router.ask(text, turns=1) for text in ("0.1", "0.7", "0.1") for router in (one, two)]
        await asyncio.gather(*asked)
        stored = one.ports.routes.stored[SessionKey("t", "s")].route
        for router in (one, two):
            assert (await router.ask("0.1", turns=1, tool_depth=1)).picks[0].tier == stored.tier

    tried(scenario)
