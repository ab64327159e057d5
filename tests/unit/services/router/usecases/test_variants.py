"""Weights, reports and stops, over a fake store."""

import asyncio
from collections import Counter

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.router.domain.outcomes import Outcomes
from services.router.domain.variants.split import Split, Variant
from services.router.domain.variants.trial import TrialRule
from services.router.usecases.variants import VariantDesk
from tests.unit.services.router.fake_choice import FakeVariants

RULE = TrialRule(alpha=1e-4, clump=4.0, window_seconds=600.0, attempts_min=50, errors_margin=0.02, slow_margin=0.15)
BASE = {
    "chat": Split("chat", (Variant("stable", "m-a", 90), Variant("canary", "m-b", 10), Variant("third", "m-c", 0))),
    "code": Split("code", (Variant("stable", "c-a", 1), Variant("canary", "c-b", 1))),
}


class Seen:
    """A VariantObserver that remembers."""

    def __init__(self):
        self.attempts = Counter()
        self.stops = []

    def tried(self, pool, variant, attempts, failures):
        self.attempts[pool, variant] += attempts

    def stopped(self, pool, variant, why):
        self.stops.append((pool, variant, why))


class Desks:
    """Router replicas over one store."""

    def __init__(self):
        self.clock, self.store, self.seen = FakeClock(), FakeVariants(BASE), Seen()

    def one(self):
        return VariantDesk(BASE, self.store, RULE, self.seen, clock=self.clock, random=lambda: 0.5)


def report(desk, variant, attempts, failures, *, model="chat", ttft=7):
    desk.take(Outcomes("w", "b", model, variant, attempts, failures, 0, (0,) * ttft + (attempts - failures,)))


async def bad_canary(desk, seconds=120, *, since=0, **fields):
    for second in range(since, since + seconds):
        report(desk, "stable", 20, 0, **fields)
        report(desk, "canary", 4, second % 3 and 2, **fields)
        await desk.look()


def weights(desk, pool="chat"):
    return {each.name: each.weight for each in desk.splits[pool].variants}


def test_weights_that_one_replica_sets_reach_the_others_within_two_seconds():
    async def scenario():
        desks = Desks()
        one, two = desks.one(), desks.one()
        loop = asyncio.create_task(two.follow())
        await asyncio.sleep(0.1)
        changed = await one.set_weights("chat", {"canary": 50})
        assert (changed.version, weights(one)) == (1, {"stable": 90, "canary": 50, "third": 0})
        await asyncio.sleep(2)
        assert two.splits == one.splits
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)

    run(scenario())


@pytest.mark.parametrize(
    ("pool", "wanted", "reason", "word"),
    [
        ("none", {"stable": 1}, Reason.NOT_FOUND, "chat, code"),
        ("chat", {"other": 1}, Reason.INVALID_REQUEST, "stable, canary, third"),
        ("chat", {}, Reason.INVALID_REQUEST, "No weight"),
        ("chat", {"stable": 0, "canary": 0}, Reason.INVALID_REQUEST, "new sessions"),
        ("chat", {"stable": 2_000_000}, Reason.INVALID_REQUEST, "1000000"),
    ],
)
def test_what_cannot_be_set_is_refused_with_what_could_be(pool, wanted, reason, word):
    async def scenario():
        desk = Desks().one()
        with pytest.raises(PlatformError) as caught:
            await desk.set_weights(pool, wanted)
        assert caught.value.reason is reason
        assert word in caught.value.message
        assert desk.splits == BASE

    run(scenario())


def test_a_store_that_is_down_changes_no_weight_and_stops_no_trial():
    async def scenario():
        desks = Desks()
        desk = desks.one()
        desks.store.up = False
        with pytest.raises(PlatformError) as caught:
            await desk.set_weights("chat", {"canary": 50})
        assert caught.value.reason is Reason.STORE_UNAVAILABLE
        await bad_canary(desk)
        assert (desk.splits, desks.seen.stops) == (BASE, [])
        desks.store.up = True
        await bad_canary(desk, seconds=1)
        assert weights(desk)["canary"] == 0

    run(scenario())


def test_a_store_that_has_lost_its_newest_change_is_followed_all_the_same():
    """As after a failover: a version comes a second time, with other weights."""

    async def scenario():
        desks = Desks()
        one, two = desks.one(), desks.one()
        older = desks.store.stored["chat"]
        await one.set_weights("chat", {"canary": 50})
        desks.store.stored["chat"] = older
        changed = await two.set_weights("chat", {"canary": 20})
        assert changed.version == 1
        for desk in (one, two):
            await desk.look()
            assert weights(desk)["canary"] == 20

    run(scenario())


def test_an_answer_of_the_store_from_before_a_change_takes_nothing_back():
    async def scenario():
        desks = Desks()
        desk = desks.one()
        load, asked, answer = desks.store.load, asyncio.Event(), asyncio.Event()

        async def slow(pools):
            found = await load(pools)
            asked.set()
            await answer.wait()
            return found

        desks.store.load = slow
        look = asyncio.create_task(desk.look())
        await asked.wait()
        desks.store.load = load
        await desk.set_weights("chat", {"canary": 50})
        answer.set()
        await look
        assert weights(desk)["canary"] == 50

    run(scenario())


def test_a_bad_variant_is_stopped_for_all_replicas_once():
    async def scenario():
        desks = Desks()
        one, two = desks.one(), desks.one()
        for second in range(120):
            for desk in (one, two):
                await bad_canary(desk, seconds=1, since=second)
        for desk in (one, two):
            await desk.look()
            canary = desk.splits["chat"].find("canary")
            assert canary.weight == 0
            assert canary.stopped.startswith("failures: ")
        assert [(pool, name) for pool, name, _ in desks.seen.stops] == [("chat", "canary")]
        assert weights(one, "code") == {"stable": 1, "canary": 1}

    run(scenario())


def test_a_stop_holds_until_an_operator_sets_a_weight_and_then_the_trial_begins_anew():
    async def scenario():
        desks = Desks()
        desk = desks.one()
        await bad_canary(desk)
        await bad_canary(desk, seconds=10)
        assert desks.store.stored["chat"].version == 1
        await desk.set_weights("chat", {"canary": 5})
        assert desk.splits["chat"].find("canary").stopped == ""
        await bad_canary(desk, seconds=3)
        assert weights(desk)["canary"] == 5
        await bad_canary(desk)
        assert weights(desk)["canary"] == 0

    run(scenario())


def test_the_first_variant_is_what_others_are_held_against_and_never_stopped():
    async def scenario():
        desk = Desks().one()
        for _ in range(200):
            report(desk, "stable", 20, 15)
            report(desk, "canary", 4, 0)
            await desk.look()
        assert weights(desk) == {"stable": 90, "canary": 10, "third": 0}

    run(scenario())


def test_the_last_variant_with_a_weight_is_left_alone():
    async def scenario():
        desk = Desks().one()
        await desk.set_weights("chat", {"stable": 0})
        await bad_canary(desk)
        assert weights(desk)["canary"] == 10

    run(scenario())


@pytest.mark.parametrize(("model", "pool"), [("chat", "chat"), ("m-b", "chat"), ("c-b", "code")])
def test_reports_are_counted_by_pool_or_by_the_model_behind(model, pool):
    async def scenario():
        desks = Desks()
        desk = desks.one()
        report(desk, "canary", 10, 1, model=model)
        told = {each.variant.name: each for each in desk.told(pool)}["canary"]
        assert (told.attempts, told.failures, told.recent.timed) == (10, 1, 9)
        assert desks.seen.attempts == {(pool, "canary"): 10}

    run(scenario())


def test_reports_of_no_variant_are_nobodys():
    async def scenario():
        desks = Desks()
        for variant, model in [("", "chat"), ("gone", "chat"), ("canary", "elsewhere"), ("canary", "auto")]:
            report(desks.one(), variant, 10, 1, model=model)
        assert not desks.seen.attempts

    run(scenario())


def test_times_of_long_ago_hardly_count():
    async def scenario():
        desks = Desks()
        desk = desks.one()
        report(desk, "canary", 1024, 0)
        for _ in range(10):
            desks.clock.advance(160)
            await desk.look()
        assert desk.told("chat")[1].recent.timed == 1

    run(scenario())
