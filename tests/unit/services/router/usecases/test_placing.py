import asyncio
import itertools
import random
from collections import Counter

import pytest

from libs.errors import PlatformError, Reason
from libs.rendezvous import weight
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.router.composition.placement import caches_of, placement_of
from services.router.domain.binding import Binding, SessionKey
from services.router.domain.binding_cache import BindingCache
from services.router.domain.plan import PlanRule
from services.router.domain.registry import Registry
from services.router.domain.worker import Description, StateMessage
from services.router.settings import PlacementSettings
from services.router.usecases.fleet import Fleet
from services.router.usecases.placing import PlaceQuery, Placing, PlacingRule
from tests.unit.services.router.fake_store import FakeStore


class Seen:
    def __init__(self):
        self.reasons, self.outcomes = Counter(), Counter()

    def placed(self, reason):
        self.reasons[reason] += 1

    def bound(self, outcome):
        self.outcomes[outcome] += 1


class Replica:
    """One router process: its own view of the workers, its own cache, a store it may share."""

    def __init__(self, store, count=3, places_max=4, random=None):
        self.clock = FakeClock()
        caches = caches_of(PlacementSettings())
        self.registry = Registry([f"h:{n}" for n in range(count)], 1e9, caches)
        self.fleet = Fleet(self.registry, self.clock)
        self.cache = BindingCache(1000, 600.0)
        self.seen = Seen()
        rule = PlacingRule(PlanRule(1.25, places_max), recheck_seconds=60.0)
        half = itertools.repeat(0.5).__next__
        placement = placement_of(PlacementSettings(places_max=places_max), caches, half)
        self.placing = Placing(
            self.fleet, self.cache, store, placement, rule, self.seen, clock=self.clock, random=random or half
        )
        for n in range(count):
            self.up(n)

    def up(self, n, boot="b1", digest="d1", model="m"):
        message = StateMessage(boot, 1, snapshot=True, running=0, waiting=0, draining=False, healthy=True)
        self.registry.heard(f"h:{n}", message, self.clock.monotonic())
        self.registry.described(f"h:{n}", Description(f"w{n}", boot, model, (), digest))

    def lose(self, name):
        self.registry.lost("h:" + name[1:])

    async def place(self, session="", *, affinity="", excluded=(), digest="", model="m", tenant="t"):
        return await self.placing.place(PlaceQuery(tenant, model, digest, session, affinity, frozenset(excluded)))

    async def worker(self, session, **query):
        return (await self.place(session, **query)).places[0].worker.name


async def spread(replica, count=30):
    return {f"s{n}": await replica.worker(f"s{n}") for n in range(count)}


def test_only_a_session_that_needs_the_store_is_not_placed_at_once():
    async def scenario():
        replica = Replica(FakeStore())
        query = PlaceQuery("t", "m", "", "s", "", frozenset())
        assert replica.placing.at_once(query) is None
        first = await replica.placing.place(query)
        again = replica.placing.at_once(query)
        assert [place.worker for place in again.places] == [place.worker for place in first.places]
        assert replica.placing.at_once(PlaceQuery("t", "m", "", "", "", frozenset())).places
        replica.lose(first.places[0].worker.name)
        assert replica.placing.at_once(query) is None

    run(scenario())


def test_a_bound_session_is_placed_without_the_store():
    async def scenario():
        store = FakeStore()
        replica = Replica(store)
        first = await replica.place("s")
        again = await replica.place("s")
        assert [place.reason for place in first.places] == ["rendezvous", "spare", "spare"]
        assert [place.reason for place in again.places] == ["bound", "spare", "spare"]
        assert [place.worker for place in again.places] == [place.worker for place in first.places]
        assert (first.version, again.version, again.uncertain) == (1, 1, False)
        assert replica.seen.outcomes == {"new": 1}
        assert store.calls == 1

    run(scenario())


def test_bindings_survive_new_workers_and_losses_move_only_their_own():
    async def scenario():
        replica = Replica(FakeStore())
        replica.lose("w2")
        before = await spread(replica)
        replica.up(2)
        assert await spread(replica) == before
        replica.lose("w0")
        after = await spread(replica)
        assert {s for s in before if before[s] != after[s]} == {s for s in before if before[s] == "w0"}
        assert (await replica.place(next(s for s in before if before[s] == "w0"))).version == 2

    run(scenario())


def test_a_worker_that_returns_keeps_its_idle_sessions_and_not_those_that_moved():
    async def scenario():
        replica = Replica(FakeStore())
        before = await spread(replica)
        spoke, idle = [s for s in before if before[s] == "w0"][:2]
        replica.lose("w0")
        moved_to = await replica.worker(spoke)
        replica.up(0, boot="b2")
        assert await replica.worker(idle) == "w0"
        assert await replica.worker(spoke) == moved_to != "w0"

    run(scenario())


def test_a_moved_session_goes_to_the_first_spare_of_its_last_plan():
    async def scenario():
        replica = Replica(FakeStore())
        plan = (await replica.place("s")).places
        replica.lose(plan[0].worker.name)
        assert await replica.worker("s") == plan[1].worker.name

    run(scenario())


def test_of_two_replicas_the_stored_binding_wins():
    async def scenario():
        store = FakeStore()
        one, two = Replica(store), Replica(store)
        hashed = await one.worker("s")
        two.lose(hashed)
        moved = await two.worker("s")
        assert moved != hashed
        # `one` still sees the worker: it goes on until the recheck, then follows.
        assert await one.worker("s") == hashed
        await one.clock.sleep(61)
        await one.worker("s")
        await asyncio.sleep(0)
        assert await one.worker("s") == moved

    run(scenario())


def test_a_replica_that_moves_from_an_old_version_gets_the_stored_one():
    async def scenario():
        store = FakeStore()
        one, two = Replica(store), Replica(store)
        hashed = await one.worker("s")
        two.lose(hashed)
        moved = await two.worker("s")
        one.lose(hashed)
        assert await one.worker("s") == moved
        assert store.stored[SessionKey("t", "s")].version == 2

    run(scenario())


def test_a_session_that_is_new_here_goes_where_the_store_says():
    async def scenario():
        store = FakeStore()
        hashed = await Replica(FakeStore()).worker("s")
        other = next(name for name in ("w0", "w1", "w2") if name != hashed)
        store.stored[SessionKey("t", "s")] = Binding(other, 3)
        found = await Replica(store).place("s")
        assert (found.places[0].worker.name, found.places[0].reason, found.version) == (other, "bound", 3)

    run(scenario())


def test_a_new_session_on_two_replicas_at_once_has_one_worker():
    async def scenario():
        store = FakeStore()
        one, two = Replica(store), Replica(store)
        two.lose("w0")
        for n in range(30):
            a, b = await asyncio.gather(one.worker(f"s{n}"), two.worker(f"s{n}"))
            if a != "w0":
                assert a == b
            assert store.stored[SessionKey("t", f"s{n}")].worker == b or b != a

    run(scenario())


def test_store_down_new_sessions_go_by_hash_and_stay_and_are_bound_when_it_returns():
    async def scenario():
        store = FakeStore()
        replica = Replica(store)
        known = await replica.worker("known")
        store.up = False
        assert (await replica.place("known")).uncertain is False
        first = await replica.place("new")
        assert (first.uncertain, first.version) == (True, 0)
        assert await replica.worker("new") == first.places[0].worker.name
        store.up = True
        later = await replica.place("new")
        assert (later.uncertain, later.version) == (False, 1)
        assert store.stored[SessionKey("t", "new")] == Binding(first.places[0].worker.name, 1)
        assert await replica.worker("known") == known

    run(scenario())


def test_what_another_replica_stored_meanwhile_wins_over_a_decision_without_the_store():
    async def scenario():
        store = FakeStore()
        replica = Replica(store)
        store.up = False
        mine = await replica.worker("s")
        other = next(name for name in ("w0", "w1", "w2") if name != mine)
        store.stored[SessionKey("t", "s")] = Binding(other, 1)
        store.up = True
        assert await replica.worker("s") == other

    run(scenario())


def test_a_stale_cached_binding_is_uncertain_only_while_the_store_is_down():
    async def scenario():
        store = FakeStore()
        replica = Replica(store)
        await replica.place("s")
        await replica.clock.sleep(61)
        store.up = False
        assert (await replica.place("s")).uncertain is True
        store.up = True
        assert (await replica.place("s")).uncertain is False
        await asyncio.sleep(0)
        assert store.calls == 2

    run(scenario())


def test_a_move_without_the_store_is_written_when_it_returns():
    async def scenario():
        store = FakeStore()
        replica = Replica(store)
        bound = await replica.worker("s")
        store.up = False
        replica.lose(bound)
        moved = await replica.place("s")
        assert moved.uncertain is True
        replica.up(int(bound[1]))
        store.up = True
        assert await replica.worker("s") == moved.places[0].worker.name
        assert store.stored[SessionKey("t", "s")] == Binding(moved.places[0].worker.name, 2)

    run(scenario())


def test_an_excluded_bound_worker_is_left_out_and_the_binding_stays():
    async def scenario():
        replica = Replica(FakeStore())
        bound = await replica.worker("s")
        plan = await replica.place("s", excluded=[bound])
        assert bound not in [place.worker.name for place in plan.places]
        assert plan.version == 1
        assert await replica.worker("s") == bound
        with pytest.raises(PlatformError) as caught:
            await replica.place("s", excluded=["w0", "w1", "w2"])
        assert caught.value.reason is Reason.NO_WORKER

    run(scenario())


def test_a_digest_limits_the_plan_and_a_wrong_one_is_told():
    async def scenario():
        replica = Replica(FakeStore())
        replica.up(0, digest="d2")
        bound = await replica.worker("s", digest="d1")
        assert bound in {"w1", "w2"}
        assert [place.worker.name for place in (await replica.place("s", digest="d2")).places] == ["w0"]
        with pytest.raises(PlatformError) as caught:
            await replica.place("s", digest="d3")
        assert (caught.value.reason, caught.value.started) == (Reason.WRONG_DIGEST, False)

    run(scenario())


def test_sessions_of_two_tenants_never_meet_and_affinity_keys_are_not_bound():
    async def scenario():
        store = FakeStore()
        replica = Replica(store)
        await replica.place("s", tenant="a")
        await replica.place("s", tenant="b")
        assert set(store.stored) == {SessionKey("a", "s"), SessionKey("b", "s")}
        plans = [await replica.place(affinity="k") for _ in range(3)]
        assert len({plan.places[0].worker.name for plan in plans[:2]}) == 1
        assert plans[0].version == 0
        assert len(store.stored) == 2

    run(scenario())


def test_bound_sessions_spread_within_the_load_bound():
    async def scenario():
        replica = Replica(FakeStore(), count=2)
        for n in range(8):
            await replica.place(f"s{n}")
            for worker in replica.fleet.workers:
                worker.recent.clear()  # idle workers: only their sessions tell them apart
        counts = Counter(binding.worker for binding in replica.placing._store.stored.values())
        assert max(counts.values()) <= 5

    run(scenario())


def test_own_placements_count_as_load_before_the_worker_says_so():
    async def scenario():
        replica = Replica(FakeStore())
        firsts = Counter([(await replica.place()).places[0].worker.name for _ in range(9)])
        assert set(firsts.values()) == {3}

    run(scenario())


def test_a_recheck_that_found_the_store_down_is_still_due():
    class Falling(FakeStore):
        async def bind(self, key, worker, version):
            self.up = self.calls == 0
            return await super().bind(key, worker, version)

    async def scenario():
        replica = Replica(Falling())
        await replica.place("s")
        await replica.clock.sleep(61)
        assert (await replica.place("s")).uncertain is False
        await asyncio.sleep(0)
        assert (await replica.place("s")).uncertain is True

    run(scenario())


def test_sessions_that_came_together_are_compared_with_the_store_apart():
    async def scenario():
        store = FakeStore()
        replica = Replica(store, random=random.Random(1).random)
        sessions = [f"s{n}" for n in range(40)]
        for session in sessions:
            await replica.place(session)
        counts = []
        for _ in range(16):
            before = store.calls
            await replica.clock.sleep(1 if counts else 45)
            for session in sessions:
                await replica.place(session)
            await asyncio.sleep(0)
            counts.append(store.calls - before)
        assert sum(counts) == 40
        assert max(counts) <= 10

    run(scenario())


def test_calls_of_one_new_session_at_once_stay_together_without_the_store():
    class Slow(FakeStore):
        async def bind(self, key, worker, version):
            await asyncio.sleep(0.01)
            return await super().bind(key, worker, version)

    async def scenario():
        store = Slow()
        store.up = False
        replica = Replica(store)
        first = asyncio.create_task(replica.worker("s"))
        await asyncio.sleep(0.005)
        hashed = max(replica.fleet.workers, key=lambda worker: weight("t\0s\0s", worker.name))
        hashed.told = 100  # full when the second call comes
        second = asyncio.create_task(replica.worker("s"))
        assert await first == await second == hashed.name

    run(scenario())
