"""Expected prompts against a naive list of them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.domain.expected import Expected, ExpectedRule


def chain(*parts):
    """Hashes of a prompt made of these parts: equal parts from the start on give equal hashes, as block hashes do."""
    hashes, last = [], 0
    for part, length in parts:
        for _ in range(length):
            last = hash((last, part)) & ((1 << 64) - 1)
            hashes.append(last)
    return np.array(hashes, np.uint64)


def common(one, other):
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


PROMPTS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 60)), min_size=1, max_size=3).map(lambda p: chain(*p))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), PROMPTS, st.floats(0, 5)), max_size=12), PROMPTS, st.floats(0, 20))
def test_it_never_promises_more_than_was_sent_nor_much_less(sent, asked, wait):
    expected, now, alive = Expected(ExpectedRule(10.0, 10**6)), 0.0, []
    for slot, prompt, step in sent:
        now += step
        expected.send(slot, prompt, now)
        alive.append((now + 10.0, slot, prompt))
    now += wait
    found = expected.runs(asked, now)
    for slot in (0, 1):
        best = max((common(prompt, asked) for until, its, prompt in alive if its == slot and until > now), default=0)
        assert found.get(slot, 0) <= best
        assert found.get(slot, 0) >= best * 2 // 3  # marks grow by half
    if all(until <= now for until, _, _ in alive):
        assert len(expected) == 0
        assert not expected._by_mark


def test_prompts_that_part_late_share_exactly_what_they_have_in_common():
    expected = Expected(ExpectedRule())
    head = ("head", 333)
    expected.send(0, chain(head, ("one", 200)), 0.0)
    assert expected.runs(chain(head, ("two", 500)), 1.0) == {0: 333}
    assert expected.runs(chain(head, ("one", 200)), 1.0) == {0: 533}


def test_a_session_that_grows_is_one_prompt_of_an_assumed_cache():
    expected = Expected(ExpectedRule())
    for length in range(10, 100, 10):
        expected.assume(0, chain(("s", length)), 120)
    assert len(expected) == 1
    expected.assume(0, chain(("other", 20)), 120)
    assert expected.runs(chain(("s", 90)), 0.0) == {0: 90}
    expected.assume(0, chain(("more", 40)), 120)
    assert expected.runs(chain(("s", 90)), 0.0) == {}
    assert expected.runs(chain(("more", 40)), 0.0) == {0: 40}


def test_what_later_prompts_share_with_a_forgotten_one_still_counts():
    expected, head = Expected(ExpectedRule()), ("system", 63)
    expected.assume(0, chain(head, ("one", 37)), 180)
    expected.assume(0, chain(head, ("two", 37)), 180)  # 137 blocks
    expected.assume(0, chain(("three", 60)), 180)  # 197: the first goes, but its head is the second's too
    assert expected.runs(chain(head, ("two", 37)), 0.0) == {0: 100}
    assert expected.runs(chain(head, ("one", 37)), 0.0) == {0: 63}
    expected.assume(0, chain(("four", 30)), 180)  # 190 with the head counted: the second goes
    assert expected.runs(chain(head, ("two", 37)), 0.0) == {}


def test_forgetting_one_worker_leaves_the_others():
    expected = Expected(ExpectedRule())
    for slot in (0, 1):
        expected.send(slot, chain(("s", 30)), 0.0)
    expected.assume(0, chain(("t", 30)), 100)
    expected.forget(0)
    assert expected.runs(chain(("s", 30)), 0.0) == {1: 30}
    assert expected.runs(chain(("t", 30)), 0.0) == {}


def test_what_is_told_is_no_longer_expected_and_what_goes_on_is():
    expected = Expected(ExpectedRule())
    short, long = chain(("s", 30)), chain(("s", 40))
    for slot in (0, 1):
        expected.send(slot, short, 0.0)
        expected.send(slot, long, 0.0)
    expected.told(0, short)
    assert expected.runs(long, 1.0) == {0: 40, 1: 40}
    expected.told(0, long[30:])
    assert expected.runs(long, 1.0) == {1: 40}
    expected.told(1, long)
    assert (len(expected), expected._by_mark) == (0, {})


def test_the_same_prompt_again_lives_as_long_as_its_last():
    expected = Expected(ExpectedRule(10.0, 10**6))
    for now in (0.0, 6.0):
        expected.send(0, chain(("s", 30)), now)
    assert len(expected) == 1
    assert expected.runs(chain(("s", 30)), 12.0) == {0: 30}
    assert expected.runs(chain(("s", 30)), 16.0) == {}


def test_what_a_worker_holds_already_is_not_expected_of_it():
    expected = Expected(ExpectedRule())
    expected.send(0, chain(("system", 64), ("s", 30)), 0.0, held=64)
    assert expected.runs(chain(("system", 64), ("t", 30)), 0.0) == {}
    assert expected.runs(chain(("system", 64), ("s", 50)), 0.0) == {0: 94}
