"""Per-minute limits: the arithmetic of a bucket, to the microsecond."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.ledger.buckets import MINUTE_US, Bucket, reset_us, units_left, wait_us

LIMITS = st.integers(1, 150_000_000)
UNITS = st.integers(0, 1_000_000)
TIMES = st.integers(0, 10 * MINUTE_US)


def test_a_bucket_drains_its_limit_in_a_minute():
    bucket = Bucket()
    bucket.fill(60, 60, 0)
    assert bucket.drained(60, MINUTE_US) == 0
    assert units_left(bucket.drained(60, 1_000_000), 60) == 1
    assert reset_us(bucket.drained(60, 0), 60) == MINUTE_US


@pytest.mark.parametrize("back", [-1, -MINUTE_US])
def test_time_that_steps_back_drains_nothing_and_delays_nothing(back):
    bucket = Bucket()
    bucket.fill(60, 30, 5 * MINUTE_US)
    assert bucket.drained(60, 5 * MINUTE_US + back) == 30 * MINUTE_US
    bucket.fill(60, 0, 5 * MINUTE_US + back)
    assert bucket.drained(60, 5 * MINUTE_US + back + 30_000_000) == 0


@given(limit=LIMITS, units=UNITS, level=st.integers(0, 2**53))
def test_the_wait_is_the_shortest_after_which_the_units_fit(limit, units, level):
    bucket = Bucket(level, 0)
    wait = wait_us(level, limit, units)
    if wait is None:
        assert units > limit
    else:
        assert wait_us(bucket.drained(limit, wait), limit, units) == 0
        assert wait == 0 or wait_us(bucket.drained(limit, wait - 1), limit, units) != 0


@given(limit=st.integers(1, 1000), steps=st.lists(st.tuples(st.integers(0, 1000), TIMES), max_size=30))
def test_no_minute_lets_through_more_than_the_limit_and_what_was_saved_up_before(limit, steps):
    bucket, now, granted = Bucket(), 0, []
    for units, pause in steps:
        now += pause
        if wait_us(bucket.drained(limit, now), limit, units) == 0:
            bucket.fill(limit, units, now)
            granted.append((now, units))
    for since, _ in granted:
        span = [units for at, units in granted if since <= at < since + MINUTE_US]
        assert sum(span) <= 2 * limit


@dataclass
class Call:
    """A call that was given `used + unused` units at `at`; `given` is what the bucket had been given by then."""

    at: int
    used: int
    unused: int
    given: int
    ended: bool = False


def lean_level(calls, limit, now):
    """The level if every call that has ended had been given what it used, no more."""
    lean = Bucket()
    for call in calls:
        lean.fill(limit, call.used if call.ended else call.used + call.unused, call.at)
    return lean.drained(limit, now)


@given(
    limit=st.integers(1, 1000),
    steps=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500), TIMES, st.integers(0, 9)), max_size=30),
)
def test_what_is_taken_back_never_makes_more_room_than_if_it_had_never_been_put_in(limit, steps):
    bucket, now, calls = Bucket(), 0, []
    for used, unused, pause, which in steps:
        now += pause
        running = [call for call in calls if not call.ended]
        if which < len(running):
            call = running[which]
            call.ended = True
            bucket.take_back(limit, call.unused, call.given, now)
        else:
            bucket.fill(limit, used + unused, now)
            calls.append(Call(now, used, unused, bucket.given))
        assert bucket.drained(limit, now) >= lean_level(calls, limit, now)


def test_units_are_taken_back_as_far_as_they_have_not_drained():
    bucket = Bucket()
    bucket.fill(60, 40, 0)
    held = bucket.given
    bucket.fill(60, 10, 0)
    bucket.take_back(60, 40, held, 30_000_000)
    assert bucket.level == 10 * MINUTE_US


def test_units_behind_which_nothing_came_are_taken_back_whole():
    bucket = Bucket()
    bucket.fill(60, 10, 0)
    bucket.fill(60, 40, 0)
    bucket.take_back(60, 40, bucket.given, 0)
    assert bucket.level == 10 * MINUTE_US
