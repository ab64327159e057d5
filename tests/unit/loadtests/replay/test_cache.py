"""The simulated prefix cache, against vLLM's rules."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loadtests.replay.cache import BlockCache


def fill(cache, *blocks, private=0):
    hits = cache.take(blocks, private)
    if hits is not None:
        cache.give_back(blocks, private)
    return hits


def test_a_prefix_is_found_up_to_its_first_gap():
    cache = BlockCache(None)
    assert fill(cache, 1, 2, 3) == 0
    assert fill(cache, 1, 2, 9, 3) == 2
    assert cache.match([5, 1, 2]) == 0


def test_the_tail_of_a_prompt_goes_before_its_head():
    cache = BlockCache(4)
    fill(cache, 1, 2, 3, 4)
    fill(cache, 8)
    assert cache.take_dropped() == [4]
    assert cache.match([1, 2, 3, 4]) == 3


def test_the_least_recently_used_prompt_goes_first():
    cache = BlockCache(4)
    fill(cache, 1, 2)
    fill(cache, 3, 4)
    fill(cache, 1, 2)
    fill(cache, 5, 6)
    assert sorted(cache.take_dropped()) == [3, 4]
    assert cache.match([1, 2]) == 2


def test_what_runs_is_never_dropped_and_what_does_not_fit_waits():
    cache = BlockCache(4)
    assert cache.take([1, 2, 3], 0) == 0
    assert cache.take([7, 8], 0) is None
    assert cache.take_dropped() == []
    assert cache.take([1, 2, 7], 0) == 2
    cache.give_back([1, 2, 3], 0)
    assert cache.take([8], 0) == 0
    assert cache.take_dropped() == [3]


def test_blocks_of_answers_take_room_and_are_nobodys():
    cache = BlockCache(4)
    assert cache.take([1, 2], 2) == 0
    assert cache.use == 1.0
    assert cache.take([3], 0) is None
    cache.give_back([1, 2], 2)
    assert fill(cache, 3) == 0
    assert cache.match([1, 2]) == 2


class Naive:
    """Least recently used of a list, tail first; running prompts apart."""

    def __init__(self, capacity):
        self.capacity, self.idle, self.running = capacity, [], []

    def take(self, blocks):
        held = {block for prompt in self.running for block in prompt}
        if len(held.union(blocks)) > self.capacity:
            return None
        here = held.union(self.idle)
        hits = next((n for n, block in enumerate(blocks) if block not in here), len(blocks))
        self.running.append(blocks)
        held.update(blocks)
        self.idle = [block for block in self.idle if block not in blocks]
        while len(held) + len(self.idle) > self.capacity:
            self.idle.pop(0)
        return hits

    def give_back(self, blocks):
        self.running.remove(blocks)
        held = {block for prompt in self.running for block in prompt}
        self.idle += [block for block in reversed(blocks) if block not in held]

    def present(self):
        return {block for prompt in self.running for block in prompt}.union(self.idle)


@given(st.integers(3, 12), st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(1, 6)), max_size=60))
def test_it_does_what_a_plain_list_would_do(capacity, steps):
    cache, naive, open_calls, seen = BlockCache(capacity), Naive(capacity), [], set()
    for begins, family, length in steps:
        if begins or not open_calls:
            blocks = [family * 10 + n for n in range(length)]
            hits = cache.take(blocks, 0)
            assert hits == naive.take(blocks)
            if hits is not None:
                open_calls.append(blocks)
        else:
            blocks = open_calls.pop(family % len(open_calls))
            cache.give_back(blocks, 0)
            naive.give_back(blocks)
        seen.update(blocks)
        assert {block for block in seen if block in cache.present} == naive.present()
        assert len(cache) == len(naive.present()) <= capacity
