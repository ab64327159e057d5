"""Placing prompts whose blocks are known: bindings first, then caches."""

import asyncio

import numpy as np

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.router.domain.binding import Binding, SessionKey
from services.router.domain.worker import Description, StateMessage
from services.router.usecases.placing import PlaceQuery
from tests.unit.services.router.fake_store import FakeStore
from tests.unit.services.router.usecases.test_placing import Replica

TOKENS = 16


def blocks(numbers):
    return np.array(list(numbers), np.uint64)


class Caching(Replica):
    """A replica whose workers tell their blocks."""

    def up(self, n, boot="b1", digest="d1", model="m", *, kv_events=True):
        super().up(n, boot, digest, model)
        said = Description(f"w{n}", boot, model, (), digest, block_tokens=TOKENS, blocks=1000, kv_events=kv_events)
        self.registry.described(f"h:{n}", said)

    def stored(self, n, numbers, **fields):
        worker = self.registry.workers[f"h:{n}"]
        hashes = blocks(numbers)
        held = self.registry.caches.index.held(worker.slot) + len(hashes)
        message = StateMessage(
            worker.boot_id, worker.last.sequence + 1, False, 0, 0, False, True,  # noqa: FBT003
            stored=hashes, blocks_held=held,
        )  # fmt: skip
        self.registry.heard(worker.address, message, self.clock.monotonic())

    def ask(self, numbers, session="", *, root="", excluded=()):
        found = blocks(numbers)
        return self.placing.place(
            PlaceQuery("t", "m", "", session, "", frozenset(excluded), len(found) * TOKENS + 1, found, root)
        )


def test_a_new_session_is_bound_where_its_prefix_is_and_stays_there():
    async def scenario():
        store = FakeStore()
        replica = Caching(store)
        replica.stored(1, range(1, 50))
        first = await replica.ask(range(1, 60), "s")
        assert (first.places[0].worker.name, first.places[0].reason, first.predicted) == ("w1", "prefix", True)
        replica.stored(2, range(1, 100))
        again = await replica.ask(range(1, 70), "s")
        assert (again.places[0].worker.name, again.places[0].reason) == ("w1", "bound")
        assert store.stored[SessionKey("t", "s")].worker == "w1"

    run(scenario())


def test_a_bound_sessions_prediction_is_of_what_its_worker_has():
    async def scenario():
        replica = Caching(FakeStore())
        await replica.ask(range(1, 11), "s")
        bound = (await replica.ask(range(1, 11), "s")).places[0].worker
        replica.stored(int(bound.name[1]), range(1, 21))
        plan = await replica.ask(range(1, 31), "s")
        assert [place.reason for place in plan.places] == ["bound", "spare", "spare"]
        assert [place.cached_tokens for place in plan.places] == [20 * TOKENS, 0, 0]
        assert plan.predicted

    run(scenario())


def test_nothing_is_predicted_when_a_worker_of_the_model_does_not_tell_its_blocks():
    async def scenario():
        replica = Caching(FakeStore())
        replica.up(2, kv_events=False)
        assert not (await replica.ask(range(1, 10))).predicted
        assert not (await replica.place("s")).predicted

    run(scenario())


def test_bindings_survive_new_workers_and_losses_move_only_their_own_whatever_the_caches_say():
    async def scenario():
        replica = Caching(FakeStore(), count=4)
        replica.lose("w3")
        prompts = {f"s{n}": range(100 * n + 1, 100 * n + 30) for n in range(24)}
        before = {s: (await replica.ask(prompt, s)).places[0].worker.name for s, prompt in prompts.items()}
        assert set(before.values()) == {"w0", "w1", "w2"}
        replica.up(3)
        replica.stored(3, [block for prompt in prompts.values() for block in prompt])
        assert {s: (await replica.ask(prompt, s)).places[0].worker.name for s, prompt in prompts.items()} == before
        replica.lose("w0")
        after = {s: (await replica.ask(prompt, s)).places[0].worker.name for s, prompt in prompts.items()}
        moved = {s for s in before if before[s] != after[s]}
        assert moved == {s for s in before if before[s] == "w0"}
        assert {after[s] for s in moved} == {"w3"}

    run(scenario())


def test_replicas_with_other_views_agree_by_hash_without_the_store():
    async def scenario():
        for down_first in (True, False):
            store = FakeStore()
            one, two = Caching(store), Caching(store)
            for replica, worker in ((one, 0), (two, 1)):
                replica.stored(worker, range(1, 100))
            if down_first:
                store.up = False
            else:  # the call itself notices
                store.bind = lost
            names = {(await each.ask(range(1, 100), "s")).places[0].worker.name for each in (one, two)}
            assert len(names) == 1
            hashed = Replica(FakeStore())
            assert names == {await hashed.worker("s")}

    run(scenario())


async def lost(key, worker, version):
    raise PlatformError(Reason.STORE_UNAVAILABLE, "down", started=False)


def test_a_session_of_an_ejected_worker_goes_elsewhere_and_returns_with_its_binding():
    async def scenario():
        store = FakeStore()
        replica = Caching(store)
        bound = (await replica.ask(range(1, 20), "s")).places[0].worker
        eject(replica, bound)
        for _ in range(2):
            plan = await replica.ask(range(1, 20), "s")
            assert bound not in [place.worker for place in plan.places]
        detour = plan.places[0]
        assert (detour.reason, plan.version) == ("prefix", 1)  # it found what its own detour has left
        assert store.stored[SessionKey("t", "s")].worker == bound.name
        eject(replica, bound, out=False)
        assert (await replica.ask(range(1, 20), "s")).places[0][:2] == (bound, "bound")

    run(scenario())


def test_a_worker_that_is_ejected_is_used_when_all_others_are_lost():
    async def scenario():
        replica = Caching(FakeStore(), count=2)
        eject(replica, replica.registry.workers["h:0"])
        assert (await replica.ask([1])).places[0].worker.name == "w1"
        replica.lose("w1")
        assert (await replica.ask([1])).places[0].worker.name == "w0"

    run(scenario())


class SlowStore(FakeStore):
    async def bind(self, key, worker, version):
        await asyncio.sleep(0.001)
        return await super().bind(key, worker, version)


def eject(replica, worker, *, out=True):
    worker.ejected = out
    replica.registry._note_change(worker)


def test_a_sub_agent_goes_to_its_roots_worker():
    async def scenario():
        replica = Caching(FakeStore())
        for n in range(3):
            replica.up(n, kv_events=False)
        root = (await replica.ask(range(1, 3), "root")).places[0].worker.name
        for n in range(6):
            plan = await replica.ask(range(1000 * n + 1, 1000 * n + 50), f"sub{n}", root="root")
            assert (plan.places[0].worker.name, plan.places[0].reason) == (root, "tree")
            await replica.clock.sleep(600)  # its work is done and forgotten
            for worker in range(3):
                replica.stored(worker, [])
        other = await replica.ask(range(9000, 9050), "alone", root="not known here")
        assert other.places[0].reason != "tree"

    run(scenario())


def test_sessions_that_begin_at_once_with_one_prefix_go_together():
    async def scenario():
        for store in (FakeStore(), SlowStore()):
            replica = Caching(store)
            plans = await asyncio.gather(*[replica.ask([*range(1, 300), 1000 + n], f"s{n}") for n in range(5)])
            assert len({plan.places[0].worker.name for plan in plans}) == 1
            replica.placing.note()
            assert len(replica.registry.caches.expected) == 5  # none is left of those that were only promised

    run(scenario())


def test_a_burst_within_one_turn_of_the_loop_goes_together_though_the_first_is_not_written_down_yet():
    replica = Caching(FakeStore())
    plans = []
    for n in range(5):
        found = blocks([*range(1, 300), 1000 + n])
        plans.append(replica.placing.at_once(PlaceQuery("t", "m", "", "", "", frozenset(), 16 * len(found), found)))
        assert replica.placing.unnoted
    assert len({plan.places[0].worker.name for plan in plans}) == 1
    assert [plan.places[0].cached_tokens for plan in plans] == [0, *[299 * TOKENS] * 4]


def test_what_a_worker_says_or_its_loss_comes_after_what_was_sent_before():
    replica = Caching(FakeStore(), count=1)
    found = blocks(range(1, 30))
    query = PlaceQuery("t", "m", "", "", "", frozenset(), 16 * len(found), found)
    worker, expected = replica.registry.workers["h:0"], replica.registry.caches.expected
    replica.placing.at_once(query)
    replica.stored(0, range(1, 30))
    assert (len(expected), worker.backlog.tokens(0.0), replica.placing.unnoted) == (0, 0.0, False)
    replica.placing.at_once(query._replace(blocks=found[::-1]))
    replica.lose("w0")
    assert (len(expected), worker.backlog.tokens(0.0), replica.placing.unnoted) == (0, 0.0, False)


def test_a_call_counts_from_when_the_store_has_answered():
    async def scenario():
        store = FakeStore()
        replica = Caching(store, count=1)
        bind = store.bind

        async def slow(key, worker, version):
            replica.clock.advance(0.2)
            return await bind(key, worker, version)

        store.bind = slow
        await replica.ask(range(1, 30), "s")
        replica.stored(0, [])  # written before the call went there
        assert replica.registry.workers["h:0"].load == 1

    run(scenario())


def test_a_worker_that_is_lost_while_the_store_is_asked_is_not_in_the_plan():
    async def scenario():
        store = FakeStore()
        replica = Caching(store)
        bind = store.bind

        async def slow(key, worker, version):
            if worker == "w1":
                replica.lose(worker)
            return await bind(key, worker, version)

        store.bind = slow
        replica.stored(1, range(1, 50))
        plan = await replica.ask(range(1, 60), "s")
        assert {place.worker.name for place in plan.places} == {"w0", "w2"}
        again = await replica.ask(range(1, 60), "s")
        assert again.places[0].worker is plan.places[0].worker
        assert store.stored[SessionKey("t", "s")] == Binding(plan.places[0].worker.name, 2)

    run(scenario())


def test_a_prompt_that_the_store_sends_elsewhere_is_not_expected_where_it_was_wanted():
    async def scenario():
        store = FakeStore()
        replica = Caching(store)
        replica.stored(1, range(1, 50))
        store.stored[SessionKey("t", "s")] = Binding("w2", 4)
        assert (await replica.ask(range(1, 100), "s")).places[0].worker.name == "w2"
        cached = replica.registry.caches.cached(blocks(range(1, 100)), list(replica.fleet.workers), 0.0)[1]
        assert cached == [0, 49, 99]

    run(scenario())
