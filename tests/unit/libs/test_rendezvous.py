from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from libs.rendezvous import rank, weight

names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True)


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
