"""Paces: what is measured, and against what a worker is slow."""

from __future__ import annotations

import pytest

from services.gateway.domain.pace import (
    PREFILL_SECONDS_DEFAULT,
    PaceRule,
    PrefillPace,
    WorkerPace,
    first_token_limit,
    gap_limit,
    slow_to_begin,
)

RULE = PaceRule(factor=4.0, first_token_seconds=1.0, gap_seconds=0.1, recent_seconds=2.0, samples_min=3)


def test_the_prefill_is_the_median_of_long_prompts_once_there_are_three():
    pace = PrefillPace()
    for seconds in (1.0, 1.1):
        pace.first_token(seconds, 1000)
        pace.turn()
        assert pace.seconds_per_token == PREFILL_SECONDS_DEFAULT
    pace.first_token(60.0, 1000)
    pace.turn()
    assert pace.seconds_per_token == pytest.approx(0.0011)


def test_a_gap_is_told_from_enough_decoding_of_the_last_windows_only():
    pace = WorkerPace()
    pace.decoded(0.4, 2)
    pace.turn()
    assert pace.gap(RULE) is None
    pace.decoded(0.6, 3)
    pace.turn()
    assert pace.gap(RULE) == pytest.approx(0.2)
    pace.turn()
    pace.turn()
    pace.turn()
    assert pace.gap(RULE) is None


def test_decoding_without_a_token_is_the_longest_gap():
    pace = WorkerPace()
    pace.decoded(1.5, 0)
    pace.turn()
    assert pace.gap(RULE) == 1.5


@pytest.mark.parametrize(
    ("own", "peers", "slow"),
    [
        ([3.0] * 3, [[0.1] * 3], True),
        ([3.0] * 2, [[0.1] * 3], False),
        ([3.0] * 3, [[0.1] * 2], False),
        ([3.0] * 3, [], False),
        ([3.0] * 3, [[2.5] * 3], False),
        ([0.9] * 3, [[0.1] * 3], False),
        ([3.0, 0.1, 0.1], [[0.1] * 3], False),
        ([3.0] * 3, [[0.1] * 3, [9.0] * 3, [0.1] * 3], True),
    ],
)
def test_slow_is_who_is_many_times_slower_than_the_median_of_peers_that_showed_enough(own, peers, slow):
    assert slow_to_begin(own, peers, RULE) is slow


def test_limits_are_never_below_the_absolute_ones():
    assert first_token_limit([[0.01] * 3], RULE) == 1.0
    assert gap_limit([0.001, None], RULE) == 0.1
    assert gap_limit([0.2, 0.3], RULE) == pytest.approx(1.0)
    assert gap_limit([None], RULE) is None
