"""What workers say of their blocks, through the registry, whatever happens on the way."""

from dataclasses import replace

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.router.domain.caches import Caches, CachesRule, Sent
from services.router.domain.expected import ExpectedRule
from services.router.domain.registry import Registry, Verdict
from services.router.domain.worker import Description, StateMessage

A, B = "a:1", "b:1"
BLOCKS = range(1, 13)


def array(hashes):
    return np.array(sorted(hashes), np.uint64)


def message(boot, sequence, *, snapshot=False, stored=(), dropped=(), held=0, cleared=False, waiting=0):
    return StateMessage(
        boot, sequence, snapshot, 0, waiting, False, True,  # noqa: FBT003 -- StateMessage's order
        stored=array(stored), dropped=array(dropped), cleared=cleared, blocks_held=held,
    )  # fmt: skip


def describe(name, boot, *, kv_events=True, blocks=100):
    return Description(name, boot, "m", (), "d", block_tokens=16, blocks=blocks, kv_events=kv_events)


class Wire(RuleBasedStateMachine):
    """A worker, the messages under way, and a router that may lose, repeat and mix them up."""

    def __init__(self):
        super().__init__()
        self.now, self.boot, self.sequence = 0.0, 1, 0
        self.blocks, self.way, self.was = set(), [], {}
        self.caches = Caches(CachesRule(resync_seconds=0.0))
        self.registry = Registry([A, B], 1e9, self.caches)
        self.worker = self.registry.workers[A]

    @initialize()
    def connect(self):
        self.registry.heard(B, message("1", 1, snapshot=True, stored=BLOCKS, held=len(BLOCKS)), 0.0)
        self.subscribe()

    def say(self, **fields):
        self.sequence += 1
        self.was[self.boot, self.sequence] = set(self.blocks)
        self.way.append(message(str(self.boot), self.sequence, held=len(self.blocks), **fields))

    def subscribe(self):
        self.way.clear()
        self.say(snapshot=True, stored=self.blocks)

    @rule(stored=st.sets(st.sampled_from(BLOCKS), max_size=6))
    def store(self, stored):
        fresh = stored - self.blocks
        self.blocks |= fresh
        self.say(stored=fresh)

    @rule(dropped=st.sets(st.sampled_from(BLOCKS), max_size=6))
    def drop(self, dropped):
        gone = dropped & self.blocks
        self.blocks -= gone
        self.say(dropped=gone)

    @rule(stored=st.sets(st.sampled_from(BLOCKS), max_size=4))
    def clear(self, stored):
        self.blocks = set(stored)
        self.say(cleared=True, stored=stored)

    @rule()
    def crash(self):
        self.registry.lost(A)
        self.boot, self.sequence, self.blocks = self.boot + 1, 0, set()
        self.subscribe()

    @rule()
    def lose_the_connection(self):
        self.registry.lost(A)
        self.subscribe()

    @rule()
    def restart_behind_a_proxy(self):
        self.boot, self.sequence, self.blocks = self.boot + 1, 0, set()
        self.subscribe()

    @precondition(lambda self: len(self.way) > 1)
    @rule(data=st.data())
    def lose_one(self, data):
        del self.way[data.draw(st.integers(0, len(self.way) - 1))]

    @precondition(lambda self: self.way)
    @rule(data=st.data())
    def repeat_one(self, data):
        self.way.insert(0, data.draw(st.sampled_from(self.way)))

    @precondition(lambda self: len(self.way) > 1)
    @rule(data=st.data())
    def mix_up(self, data):
        self.way = data.draw(st.permutations(self.way))

    @precondition(lambda self: self.way)
    @rule()
    def hear(self):
        self.take_in(self.way.pop(0))

    @precondition(lambda self: self.way and self.way[0].snapshot)
    @rule(done=st.booleans())
    def hear_a_snapshot_in_parts(self, done):
        index, said = self.caches.index, self.way.pop(0)
        slot = index.take()
        for block in said.stored:
            index.store(slot, array([block]))
            self.knows_a_state_that_was()
        if done:
            self.take_in(replace(said, slot=slot))
        else:
            index.give_back(slot)
            self.lose_the_connection()

    def take_in(self, said):
        verdict = self.registry.heard(A, said, self.now)
        if verdict is Verdict.RESUBSCRIBE:
            self.subscribe()
        elif verdict is Verdict.DESCRIBE:
            self.registry.described(A, describe("w0", self.worker.last.boot_id))

    @invariant()
    def knows_a_state_that_was(self):
        last = self.worker.last
        expected = self.was[int(last.boot_id), last.sequence] if self.worker.connected else set()
        known = {block for block in BLOCKS if self.caches.index.runs(array([block])).of([self.worker.slot])[0]}
        assert known == expected
        assert self.caches.index.held(self.worker.slot) == len(expected)
        assert self.caches.index.held(1) == len(BLOCKS)

    def teardown(self):
        self.say()  # the next beat shows what was lost last
        for _ in range(200):
            if self.way:
                self.hear()
        assert not self.way
        assert self.caches.index.held(self.worker.slot) == len(self.blocks)


def test_whatever_happens_on_the_way_the_router_knows_a_state_that_was():
    run_state_machine_as_test(Wire, settings=settings(max_examples=80, stateful_step_count=30, deadline=None))


def heard(registry, now=0.0, **fields):
    return registry.heard(A, message(fields.pop("boot", "1"), **fields), now)


def described_registry(resync_seconds=10.0, **capabilities):
    registry = Registry([A, B], 1e9, Caches(CachesRule(resync_seconds=resync_seconds)))
    for number, address in enumerate((A, B)):
        registry.heard(address, message("1", 1, snapshot=True), 0.0)
        registry.described(address, describe(f"w{number}", "1", **capabilities))
    return registry, registry.caches


def test_blocks_that_do_not_add_up_are_asked_for_anew_and_not_in_a_spin():
    registry, caches = described_registry()
    assert heard(registry, 20.0, sequence=2, stored=[1, 2], held=2) is Verdict.FINE
    assert heard(registry, 20.1, sequence=3, stored=[3], held=4) is Verdict.RESUBSCRIBE
    assert heard(registry, 20.2, sequence=4, snapshot=True, stored=[1, 2, 3, 4], held=4) is Verdict.FINE
    assert heard(registry, 20.3, sequence=5, held=3) is Verdict.FINE  # asked a moment ago
    assert heard(registry, 30.2, sequence=6, held=3) is Verdict.RESUBSCRIBE
    assert caches.resyncs == {"count": 2, "drift": 0}


def test_a_worker_that_tells_a_part_of_its_blocks_is_not_asked_for_ever():
    registry, _ = described_registry()
    assert heard(registry, 20.0, sequence=2, snapshot=True, stored=[1, 2], held=5) is Verdict.FINE
    assert heard(registry, 40.0, sequence=3, stored=[6], held=6) is Verdict.FINE
    assert heard(registry, 60.0, sequence=4, held=5) is Verdict.RESUBSCRIBE


def test_drift_asks_once():
    registry, caches = described_registry()
    registry.drifted(registry.workers[A])
    assert heard(registry, 20.0, sequence=2) is Verdict.RESUBSCRIBE
    assert heard(registry, 20.1, sequence=3, snapshot=True) is Verdict.FINE
    assert heard(registry, 90.0, sequence=4) is Verdict.FINE
    assert caches.resyncs == {"count": 0, "drift": 1}


def cached(registry, chain, now):
    return registry.caches.cached(np.array(chain, np.uint64), list(registry.workers.values()), now)[1]


def test_what_was_sent_is_expected_until_it_is_said_or_its_time_is_over():
    registry, caches = described_registry()
    chain = list(range(1, 40))
    caches.sent(Sent(registry.workers[A], np.array(chain, np.uint64), 1.0))
    assert cached(registry, [*chain[:30], 99], 2.0) == [30, 0]
    heard(registry, 3.0, sequence=2, stored=chain[:10], held=10)
    assert cached(registry, chain, 10.9) == [39, 0]
    assert cached(registry, chain, 11.1) == [10, 0]


def test_a_new_life_a_loss_and_a_clearing_end_what_was_expected():
    for end in (
        lambda registry: heard(registry, 1.1, boot="2", sequence=1, snapshot=True),
        lambda registry: registry.lost(A),
        lambda registry: heard(registry, 1.1, sequence=2, cleared=True),
    ):
        registry, caches = described_registry()
        for worker in registry.workers.values():
            caches.sent(Sent(worker, np.array([1, 2], np.uint64), 1.0))
        assert cached(registry, [1, 2], 1.0) == [2, 2]
        end(registry)
        assert cached(registry, [1, 2], 1.2) == [0, 2]
        assert len(caches.expected) == 1


def test_a_worker_without_events_is_believed_to_hold_as_much_as_fits():
    registry, caches = described_registry(kv_events=False, blocks=100)
    worker = registry.workers[A]
    first, second, third = (list(range(n, n + 40)) for n in (1, 101, 201))
    for chain in (first, second):
        caches.sent(Sent(worker, np.array(chain, np.uint64), 0.0))
    assert (cached(registry, first, 1e6)[0], cached(registry, second, 1e6)[0]) == (40, 40)
    caches.sent(Sent(worker, np.array(third, np.uint64), 0.0))
    assert [cached(registry, chain, 1e6)[0] for chain in (first, second, third)] == [0, 40, 40]


def test_an_expected_prompt_is_bounded_in_blocks():
    caches = Caches(CachesRule(ExpectedRule(10.0, 100)))
    registry = Registry([A], 1e9, caches)
    registry.heard(A, message("1", 1, snapshot=True), 0.0)
    registry.described(A, describe("w0", "1"))
    for start in (1, 101, 201):
        caches.sent(Sent(registry.workers[A], np.arange(start, start + 40, dtype=np.uint64), 0.0))
    assert [cached(registry, [start], 0.0) for start in (1, 101, 201)] == [[0], [1], [1]]


def test_a_snapshot_a_clearing_and_a_loss_leave_nothing_of_before():
    for end in (
        lambda registry: heard(registry, 1.2, sequence=7, snapshot=True, stored=[2], held=1),
        lambda registry: heard(registry, 1.2, sequence=3, cleared=True, stored=[2], held=1),
        lambda registry: heard(registry, 1.2, boot="2", sequence=1, snapshot=True, stored=[2], held=1),
        lambda registry: registry.lost(A),
    ):
        registry, caches = described_registry()
        heard(registry, 1.1, sequence=2, stored=[1, 2, 3], held=3)
        assert cached(registry, [1, 2], 1.1) == [2, 0]
        end(registry)
        assert cached(registry, [1, 2], 1.3) == [0, 0]
        assert caches.index.held(registry.workers[A].slot) == (1 if registry.workers[A].connected else 0)


def test_what_a_worker_tells_ends_what_was_expected():
    registry, caches = described_registry()
    chain = np.arange(1, 40, dtype=np.uint64)
    caches.sent(Sent(registry.workers[A], chain, 1.0))
    heard(registry, 2.0, sequence=2, stored=range(1, 40), held=39)
    assert len(caches.expected) == 0
    heard(registry, 3.0, sequence=3, dropped=range(1, 40), held=0)  # evicted at once: believed
    assert cached(registry, chain, 3.0) == [0, 0]
