from __future__ import annotations

import weakref

from hypothesis import given
from hypothesis import strategies as st

from services.jobs.domain.waiting import FairWaiting


def popped(waiting: FairWaiting) -> list:
    found = []
    while (each := waiting.pop()) is not None:
        found.append(each[1])
    return found


def test_the_tenant_with_the_fewest_running_comes_first():
    waiting = FairWaiting(60.0)
    for place in range(4):
        waiting.push("many", 0, 0.0, f"many {place}")
    waiting.push("few", -100, 5.0, "few 0")
    waiting.push("few", -100, 5.0, "few 1")
    assert popped(waiting) == ["few 0", "many 0", "few 1", "many 1", "many 2", "many 3"] or popped(waiting) == []


def test_what_has_ended_makes_way_for_the_same_tenant_again():
    waiting = FairWaiting(60.0)
    for name in ("a", "b"):
        for place in range(2):
            waiting.push(name, 0, 0.0, f"{name}{place}")
    assert [waiting.pop()[1], waiting.pop()[1]] == ["a0", "b0"]
    waiting.ended("b")
    assert waiting.pop() == ("b", "b1")
    assert waiting.pop() == ("a", "a1")


def test_a_higher_priority_goes_first_within_a_tenant_until_the_other_has_aged():
    waiting = FairWaiting(60.0)
    waiting.push("a", 0, 0.0, "old")
    waiting.push("a", 1, 30.0, "higher")
    waiting.push("a", 1, 61.0, "higher, too late")
    assert popped(waiting) == ["higher", "old", "higher, too late"]


def test_what_is_removed_does_not_come():
    waiting = FairWaiting(60.0)
    numbers = [waiting.push("a", 0, float(place), place) for place in range(3)]
    waiting.remove(numbers[0])
    waiting.remove(numbers[2])
    assert len(waiting) == 1
    assert popped(waiting) == [1]
    assert len(waiting) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-100, 100), st.booleans()), max_size=60))
def test_everything_that_stays_comes_once(asked):
    waiting = FairWaiting(60.0)
    numbers = [waiting.push(tenant, priority, 0.0, place) for place, (tenant, priority, _) in enumerate(asked)]
    for number, (_, _, stays) in zip(numbers, asked, strict=True):
        if not stays:
            waiting.remove(number)
    assert sorted(popped(waiting)) == [place for place, (_, _, stays) in enumerate(asked) if stays]
    assert waiting.pop() is None


def test_what_is_removed_leaves_nothing_behind_though_nobody_ever_gets_room():
    """A pool whose workers are gone: all wait, give up, and come back."""
    waiting = FairWaiting(60.0)
    stays = waiting.push("a", 100, 0.0, weakref.ref(_Item()))
    items = [_Item() for _ in range(1000)]
    gone = [weakref.ref(item) for item in items]
    numbers = [waiting.push(f"t{place % 7}", 0, float(place), item) for place, item in enumerate(items)]
    items.clear()
    for number in numbers:
        waiting.remove(number)
    assert sum(item() is not None for item in gone) < 100
    waiting.remove(stays)
    assert waiting.pop() is None


class _Item:
    pass
