"""The index against a naive one: sets of hashes."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from services.router.domain.block_index import BlockIndex
from services.router.domain.block_table import NOBODY, BlockTable

WORKERS = (0, 1, 15, 16, 130)


def naive_run(held, chain):
    return next((index for index, block in enumerate(chain) if block not in held), len(chain))


def runs(index, chain, slots=WORKERS):
    return index.runs(np.array(chain, np.uint64)).of(slots)


def array(hashes):
    return np.array(list(hashes), np.uint64)


# Hashes that share a bucket of the smallest table, so that buckets fill and spill; 0 and the highest are hashes too.
CROWDED = st.integers(0, 30).map(lambda n: n << 16 | 5)
HASHES = st.one_of(
    CROWDED, st.sampled_from([0, 1, (1 << 64) - 1, (1 << 16) - 1, 1 << 16]), st.integers(0, (1 << 64) - 1)
)


class Index(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.index = BlockIndex()
        self.held = {slot: set() for slot in WORKERS}

    @rule(slot=st.sampled_from(WORKERS), hashes=st.lists(HASHES, max_size=60))
    def store(self, slot, hashes):
        self.index.store(slot, array(hashes))
        self.held[slot] |= set(hashes)

    @rule(slot=st.sampled_from(WORKERS), hashes=st.lists(HASHES, max_size=20))
    def drop_any(self, slot, hashes):
        self.index.drop(slot, array(hashes))
        self.held[slot] -= set(hashes)

    @rule(slot=st.sampled_from(WORKERS), data=st.data())
    def drop_held(self, slot, data):
        if self.held[slot]:
            gone = data.draw(st.sets(st.sampled_from(sorted(self.held[slot])), max_size=20))
            self.index.drop(slot, array(gone))
            self.held[slot] -= gone

    @rule(slot=st.sampled_from(WORKERS))
    def clear(self, slot):
        self.index.clear(slot)
        self.held[slot].clear()

    @rule(slot=st.sampled_from(WORKERS), count=st.sampled_from([900, 30_000]), seed=st.integers(0, 2**32))
    def store_many(self, slot, count, seed):
        hashes = np.random.default_rng(seed).integers(0, 1 << 64, count, dtype=np.uint64)
        self.index.store(slot, hashes)
        self.held[slot] |= set(hashes.tolist())

    @rule(data=st.data())
    def ask(self, data):
        known = sorted(set().union(*self.held.values()))
        block = st.one_of(HASHES, st.sampled_from(known)) if known else HASHES
        chain = data.draw(st.lists(block, max_size=12))
        assert runs(self.index, chain) == [naive_run(self.held[slot], chain) for slot in WORKERS]

    @rule(slot=st.sampled_from(WORKERS), seed=st.integers(0, 2**32))
    def ask_long(self, slot, seed):
        chain = sorted(self.held[slot])
        np.random.default_rng(seed).shuffle(chain)
        chain = [*chain, 77, *chain[:3]]
        assert runs(self.index, chain) == [naive_run(held, chain) for held in self.held.values()]

    @invariant()
    def counts(self):
        assert [self.index.held(slot) for slot in WORKERS] == [len(self.held[slot]) for slot in WORKERS]
        first, second, third = (
            set().union(*sets)
            for sets in ([self.held[0], self.held[1], self.held[15]], [self.held[16]], [self.held[130]])
        )
        assert self.index.blocks == len(first) + len(second) + len(third)


def test_the_index_is_as_exact_as_sets():
    run_state_machine_as_test(Index, settings=settings(max_examples=60, stateful_step_count=25, deadline=None))


def test_a_hole_ends_the_run_of_the_worker_that_has_it_alone():
    index, chain = BlockIndex(), list(range(1, 700))
    index.store(0, array(chain))
    index.store(1, array(chain))
    for hole in (500, 300, 2):
        index.drop(1, array([hole]))
        assert runs(index, chain, (0, 1, 2)) == [699, hole - 1, 0]


def test_blocks_that_spill_are_found_wherever_they_stand():
    index = BlockIndex()
    same_bucket = [n << 30 | 5 for n in range(1, 12)]
    index.store(3, array(same_bucket))
    index.store(4, array(same_bucket[:9]))
    assert runs(index, [*same_bucket, 9], (3, 4)) == [11, 9]
    index.drop(3, array([same_bucket[6]]))
    assert runs(index, same_bucket, (3, 4)) == [6, 9]


def test_growth_keeps_everything_and_what_is_dropped_gives_its_place_back():
    table = BlockTable()
    hashes = np.unique(np.random.default_rng(1).integers(0, 1 << 64, 200_000, dtype=np.uint64))
    assert sum(table.add(half, 1) for half in np.array_split(hashes, 2)) == len(hashes)
    grown = table.bytes_used
    for bit in (2, 4):
        assert table.add(hashes, bit) == len(hashes)
    for _ in range(5):  # all of it again and again: the table does not grow
        assert table.remove(hashes, 1) == len(hashes)
        assert table.add(hashes, 1) == len(hashes)
    assert (table.size, table.bytes_used) == (len(hashes), grown)
    assert table.lacking(hashes).tolist() == [NOBODY ^ 7] * len(hashes)
    for bit in (1, 2, 4):
        assert table.clear(bit) == len(hashes)
    assert table.size == 0


@pytest.mark.parametrize("length", [255, 256, 257, 600])
def test_the_first_look_changes_no_run(length):
    index, chain = BlockIndex(), list(range(1000, 1600))
    index.store(0, array(chain[:length]))
    index.store(1, array(chain[:256]))
    assert runs(index, chain, (0, 1)) == [length, 256]
