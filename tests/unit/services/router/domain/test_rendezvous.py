from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.rendezvous import bound, first_with_room, rank, weight

names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True)
KEYS = [f"session-{index}" for index in range(300)]


def winner(key, workers):
    return rank(key, workers, str)[0]


@given(names, st.text(min_size=1, max_size=8), st.lists(st.text(), max_size=50))
def test_a_worker_that_joins_takes_only_what_it_wins(workers, joining, keys):
    workers = [name for name in workers if name != joining]
    for key in keys if workers else []:
        assert winner(key, [*workers, joining]) in {winner(key, workers), joining}


@given(names, st.data(), st.lists(st.text(), max_size=50))
def test_a_worker_that_leaves_moves_only_its_own_keys_each_to_its_next(workers, data, keys):
    leaving = data.draw(st.sampled_from(workers))
    left = [name for name in workers if name != leaving]
    for key in keys if left else []:
        assert rank(key, left, str) == [name for name in rank(key, workers, str) if name != leaving]


@given(names)
def test_the_order_of_the_list_does_not_matter(workers):
    assert rank("key", workers, str) == rank("key", list(reversed(workers)), str)


def test_keys_spread_evenly():
    workers = [f"inference-{index}" for index in range(4)]
    counts = Counter(winner(key, workers) for key in [f"{n}" for n in range(4000)])
    assert min(counts.values()) > 850


def test_weights_are_the_same_in_every_process():
    assert weight("acme\0s\0chat-1", "inference-0") == weight("acme\0s\0chat-1", "inference-0")
    assert weight("a", "bc") != weight("ab", "c")


@given(st.integers(1, 8), st.floats(1.0, 3.0))
def test_no_worker_passes_the_load_bound(count, factor):
    workers = [f"w{index}" for index in range(count)]
    loads = Counter()
    for key in KEYS:
        ranking = rank(key, workers, str)
        limit = bound([loads[name] for name in workers], factor)
        loads[ranking[first_with_room([(loads[name],) for name in ranking], factor)]] += 1
        assert max(loads.values()) <= limit


def test_without_the_bound_one_worker_gets_too_much():
    """The control of the test above: plain hashing does pass that bound."""
    workers = [f"w{index}" for index in range(4)]
    loads = Counter(winner(key, workers) for key in KEYS)
    assert max(loads.values()) > bound([loads[name] for name in workers], 1.0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=8), st.floats(1.0, 3.0))
def test_there_is_always_room_by_the_first_measure(loads, factor):
    index = first_with_room(loads, factor)
    assert loads[index][0] < bound([load[0] for load in loads], factor)


def test_a_key_goes_to_the_next_of_its_ranking_when_its_first_is_full():
    assert first_with_room([(9, 0), (0, 0), (0, 0)], 1.25) == 1
    assert first_with_room([(0, 9), (0, 0), (0, 0)], 1.25) == 1
    assert first_with_room([(0, 0), (0, 0), (0, 0)], 1.25) == 0
