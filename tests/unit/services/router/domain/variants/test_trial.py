"""Stopping: rarely without a reason, soon with one. Simulated with fixed seeds."""

import math
import random
from dataclasses import replace

import pytest

from services.router.domain.variants.tally import BUCKETS, Tally
from services.router.domain.variants.trial import Trial, TrialRule, slow_edge

RULE = TrialRule(alpha=1e-4, clump=4.0, window_seconds=600.0, attempts_min=50, errors_margin=0.02, slow_margin=0.15)
# No margin and few attempts: what is left is the test itself.
BARE = TrialRule(alpha=0.05, clump=1.0, window_seconds=1e9, attempts_min=10, errors_margin=0.0, slow_margin=0.0)


def outcomes(rng, count, failing, median_ms):
    buckets, failures = [0.0] * BUCKETS, 0
    for _ in range(count):
        if rng.random() < failing:
            failures += 1
        else:
            ttft_ms = rng.lognormvariate(math.log(median_ms), 0.6)
            buckets[min(max(0, math.floor(math.log2(ttft_ms)) + 1), BUCKETS - 1)] += 1
    return Tally(count, failures, tuple(buckets))


def attempts_until_stop(seed, rule, own, rest, *, per_block=(2, 18), blocks=600):
    """Attempts of the variant until it is stopped and why; None = it never was. `own` and `rest`: failing, median."""
    rng, trial, seen = random.Random(seed), Trial(rule, 0.0), 0
    for second in range(blocks):
        seen += per_block[0]
        why = trial.see(outcomes(rng, per_block[0], *own), outcomes(rng, per_block[1], *rest), float(second))
        if why:
            return seen, why
    return None


def test_equals_are_stopped_no_more_often_than_promised():
    """The promise at alpha 0.05, looked at after each of 300 blocks: 10 of 200 at most, 20 with the sample's luck."""
    alarms = sum(
        attempts_until_stop(seed, BARE, (0.05, 100), (0.05, 100), per_block=(2, 6), blocks=300) is not None
        for seed in range(200)
    )
    assert alarms <= 10


def test_with_the_margins_equals_are_not_stopped_at_all():
    runs = [attempts_until_stop(seed, RULE, (0.03, 100), (0.03, 100)) for seed in range(40)]
    assert runs == [None] * 40


def test_sessions_in_clumps_do_not_stop_equals_either():
    """Eight calls of a session share their fate, failures and slowness both: more than `clump` allows for."""
    stops = 0
    for seed in range(60):
        rng, trial = random.Random(seed), Trial(RULE, 0.0)
        for second in range(200):
            sides = []
            for sessions in (1, 6):
                block = Tally()
                for _ in range(sessions):
                    bad = rng.random()
                    block.add(outcomes(rng, 8, 0.3 if bad < 0.05 else 0.0, 100 if bad < 0.8 else 400))
                sides.append(block)
            stops += bool(trial.see(*sides, float(second)))
    assert stops == 0


@pytest.mark.parametrize(("failing", "within"), [(0.5, 80), (0.2, 300), (0.1, 700)])
def test_a_failing_variant_is_stopped_within(failing, within):
    runs = [attempts_until_stop(seed, RULE, (failing, 100), (0.01, 100)) for seed in range(20)]
    assert all(run is not None and run[0] <= within and run[1].startswith("failures: ") for run in runs)


@pytest.mark.parametrize(("median_ms", "within"), [(400, 80), (200, 250)])
def test_a_slow_variant_is_stopped_within(median_ms, within):
    runs = [attempts_until_stop(seed, RULE, (0.01, median_ms), (0.01, 100)) for seed in range(20)]
    assert all(run is not None and run[0] <= within and run[1].startswith("slow first tokens: ") for run in runs)


def test_a_variant_that_goes_bad_after_thirty_good_windows_is_stopped_in_one():
    rng, trial = random.Random(1), Trial(replace(RULE, window_seconds=100.0), 0.0)
    for second in range(3000):
        assert not trial.see(outcomes(rng, 2, 0.01, 100), outcomes(rng, 18, 0.01, 100), float(second))
    late = (
        trial.see(outcomes(rng, 2, 0.3, 100), outcomes(rng, 18, 0.01, 100), float(second))
        for second in range(3000, 3080)
    )
    assert any(late), "160 attempts with 30 % failures went by"


def test_a_better_variant_is_never_stopped():
    runs = [attempts_until_stop(seed, BARE, (0.01, 50), (0.3, 200), blocks=200) for seed in range(20)]
    assert runs == [None] * 20


def test_few_attempts_stop_nobody_however_bad():
    assert attempts_until_stop(1, RULE, (1.0, 100), (0.0, 100), per_block=(1, 9), blocks=49) is None


def test_a_variant_with_few_calls_is_stopped_too_in_a_longer_window():
    """One call in a minute, all of which fail: ten in a window's time."""
    trial = Trial(RULE, 0.0)
    minutes = (minute for minute in range(24 * 60) if trial.see(Tally(1, 1), Tally(20, 0), 60.0 * minute))
    assert next(minutes, math.inf) <= 60


def test_one_side_alone_tells_nothing():
    rng, trial = random.Random(1), Trial(RULE, 0.0)
    for second in range(200):
        assert not trial.see(outcomes(rng, 5, 1.0, 100), Tally(), float(second))
    assert trial.errors.log == 0.0


def test_slow_is_what_the_rests_slowest_quarter_is():
    def edge(*buckets):
        return slow_edge(Tally(0, 0, tuple(map(float, buckets)) + (0.0,) * (BUCKETS - len(buckets))))

    assert edge(0, 0, 75, 25) == 3
    assert edge(0, 0, 74, 26) == 4
    assert edge(0) is None
