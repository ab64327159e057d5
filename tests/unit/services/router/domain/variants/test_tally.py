"""Counts and percentiles."""

import pytest

from services.router.domain.outcomes import Outcomes
from services.router.domain.variants.tally import BUCKETS, Tally, percentile_ms


def test_refusals_are_no_attempts_and_impossible_counts_are_cut():
    told = Tally.of(Outcomes("w", "b", "m", attempts=10, failures=99, refusals=4, ttft_buckets=(1, 2)))
    assert (told.attempts, told.failures, told.timed) == (6, 6, 3)
    assert Tally.of(Outcomes("w", "b", "m", attempts=1, refusals=4)).attempts == 0


def test_buckets_past_the_last_count_there():
    told = Tally.of(Outcomes("w", "b", "m", attempts=2, ttft_buckets=(0,) * 30 + (2,)))
    assert told.buckets[-1] == 2
    assert len(told.buckets) == BUCKETS


def test_percentiles_lie_inside_their_bucket():
    buckets = (0,) * 7 + (100,)  # 64 to 128 ms
    assert percentile_ms(buckets, 0.5) == pytest.approx(90, abs=1)
    assert 64 < percentile_ms(buckets, 0.05) < percentile_ms(buckets, 0.95) < 128
    assert percentile_ms((0, 0), 0.5) == 0


def test_a_mix_is_read_off_in_order():
    buckets = (0, 0, 0, 0, 0, 90, 0, 0, 0, 10)  # 90 below 32 ms, 10 below 512 ms
    assert 16 < percentile_ms(buckets, 0.5) < 32
    assert 256 < percentile_ms(buckets, 0.95) < 512


def test_what_fades_weighs_less():
    tally = Tally(10, 4, (8.0,) + (0.0,) * (BUCKETS - 1))
    tally.fade(0.5)
    assert (tally.attempts, tally.failures, tally.timed) == (5, 2, 4)
