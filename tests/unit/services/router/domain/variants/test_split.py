"""Who gets which variant."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.variants.split import Split, Variant


def split(*weights, stopped=()):
    variants = [Variant(f"v{n}", f"m{n}", weight, "why" if n in stopped else "") for n, weight in enumerate(weights)]
    return Split("chat", tuple(variants))


KEYS = [f"tenant\0s\0session-{n}" for n in range(4000)]


def test_shares_follow_the_weights():
    counts = Counter(split(90, 10).assign(key).name for key in KEYS)
    assert abs(counts["v1"] / len(KEYS) - 0.1) < 0.015
    assert set(Counter(split(0, 5).assign(key).name for key in KEYS)) == {"v1"}


def test_a_raised_weight_moves_keys_to_that_variant_only():
    before, after = split(50, 25, 25), split(50, 25, 100)
    moved = {(before.assign(key).name, after.assign(key).name) for key in KEYS}
    assert all(new in (old, "v2") for old, new in moved)


def test_a_session_keeps_what_it_has_whatever_the_weights_until_that_is_stopped_or_gone():
    assert split(1, 0).plan("v1", "k")[0].name == "v1"
    assert split(1, 0, stopped=[1]).plan("v1", "k")[0].name == "v0"
    assert split(1, 1).plan("gone", "k")[0].name in {"v0", "v1"}


def test_the_others_follow_by_weight_and_stopped_ones_serve_nobody():
    assert [each.name for each in split(5, 1, 9).plan("v1", "k")] == ["v1", "v2", "v0"]
    assert [each.name for each in split(5, 1, 0, stopped=[2]).plan("v0", "k")] == ["v0", "v1"]


def test_one_without_weight_stands_in_for_nobody_and_keeps_its_own():
    assert [each.name for each in split(5, 0, 1).plan("v0", "k")] == ["v0", "v2"]
    assert [each.name for each in split(5, 0, 1).plan("v1", "k")] == ["v1", "v0", "v2"]


def test_without_any_weight_the_first_that_is_not_stopped_serves():
    assert split(0, 0).assign("k").name == "v0"
    assert split(0, 0, stopped=[0]).assign("k").name == "v1"
    assert split(0, 0, stopped=[0, 1]).assign("k").name == "v0"


def test_a_stop_takes_the_weight_and_a_set_weight_takes_the_stop():
    stopped = split(9, 1).with_stop("v1", "failures")
    assert stopped.variants[1] == Variant("v1", "m1", 0, "failures")
    assert stopped.with_weights({"v1": 2}).variants == replace(split(9, 2)).variants
    assert stopped.with_weights({"v0": 3}).variants[1].stopped == "failures"


@given(st.lists(st.integers(0, 1_000_000), min_size=2, max_size=5).filter(any), st.text(max_size=20))
def test_nobody_is_given_a_variant_without_weight(weights, key):
    assert split(*weights).assign(key).weight > 0
