from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from libs.rendezvous import rank
from services.router.domain.bounded_loads import bound, first_with_room

KEYS = [f"session-{index}" for index in range(300)]


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
    loads = Counter(rank(key, workers, str)[0] for key in KEYS)
    assert max(loads.values()) > bound([loads[name] for name in workers], 1.0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=8), st.floats(1.0, 3.0))
def test_there_is_always_room_by_the_first_measure(loads, factor):
    index = first_with_room(loads, factor)
    assert loads[index][0] < bound([load[0] for load in loads], factor)


def test_a_key_goes_to_the_next_of_its_ranking_when_its_first_is_full():
    assert first_with_room([(9, 0), (0, 0), (0, 0)], 1.25) == 1
    assert first_with_room([(0, 9), (0, 0), (0, 0)], 1.25) == 1
    assert first_with_room([(0, 0), (0, 0), (0, 0)], 1.25) == 0
