"""How often equals are stopped, and how soon a worse variant is: the router's own trial on simulated outcomes.

python -m loadtests.variant_trials [--runs 200]

A/A: both sides alike, a window of ten minutes with a look every second; each attempt for itself, and in sessions of
eight that fail or are slow together. Worse: attempts of the variant until it is stopped, p50 and p95 of the runs. The
variant has a tenth of the traffic, 2 of 20 attempts a second; TTFT is log-normal (sigma 0.6). Prints JSON.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable

from loadtests.common.report import emit, quantile
from services.router.composition.choice import trial_rule
from services.router.domain.variants.tally import BUCKETS, Tally
from services.router.domain.variants.trial import Trial
from services.router.settings import RouterSettings

LOOKS = 600
RULE = trial_rule(RouterSettings())
Side = Callable[[random.Random, int], Tally]


def side(failing: float, median_ms: float) -> Side:
    """Attempts that fail with a probability, or have their first token after some `median_ms`."""

    def draw(rng: random.Random, count: int) -> Tally:
        buckets, failures = [0.0] * BUCKETS, 0
        for _ in range(count):
            if rng.random() < failing:
                failures += 1
            else:
                ttft_ms = rng.lognormvariate(math.log(median_ms), 0.6)
                buckets[min(max(0, math.floor(math.log2(ttft_ms)) + 1), BUCKETS - 1)] += 1
        return Tally(count, failures, tuple(buckets))

    return draw


def clumped(rng: random.Random, count: int) -> Tally:
    """Sessions of eight attempts: one in twenty fails a third of the time, one in five is four times as slow."""
    found = Tally()
    for _ in range(count // 8):
        luck = rng.random()
        found.add(side(0.3 if luck < 0.05 else 0.0, 400 if luck > 0.8 else 100)(rng, 8))
    return found


def until_stopped(seed: int, own: Side, rest: Side, counts: tuple[int, int]) -> float:
    """Attempts of the variant until it is stopped; infinite = it was not within the window."""
    rng, trial = random.Random(seed), Trial(RULE, 0.0)
    for look in range(LOOKS):
        if trial.see(own(rng, counts[0]), rest(rng, counts[1]), float(look)):
            return float((look + 1) * counts[0])
    return math.inf


def soon(own: Side, runs: int) -> dict[str, float | int]:
    """How soon a worse variant goes."""
    found = [until_stopped(seed, own, side(0.01, 100), (2, 18)) for seed in range(runs)]
    stopped = [each for each in found if each < math.inf]
    return {"stopped": len(stopped), "attempts_p50": quantile(stopped, 0.5), "attempts_p95": quantile(stopped, 0.95)}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--out", help="default: loadtests/out/variant_trials.json")
    args = parser.parse_args()
    alike, few = side(0.03, 100), max(10, args.runs // 4)
    report = {
        "runs": args.runs,
        "runs_of_worse": few,
        "equals_stopped": sum(until_stopped(seed, alike, alike, (2, 18)) < math.inf for seed in range(args.runs)),
        "equals_in_clumps_stopped": sum(
            until_stopped(seed, clumped, clumped, (8, 48)) < math.inf for seed in range(args.runs)
        ),
        "worse": {
            "fails 50 % against 1 %": soon(side(0.5, 100), few),
            "fails 20 % against 1 %": soon(side(0.2, 100), few),
            "fails 10 % against 1 %": soon(side(0.1, 100), few),
            "first token 4 x as late": soon(side(0.01, 400), few),
            "first token 2 x as late": soon(side(0.01, 200), few),
            "first token 1.5 x as late": soon(side(0.01, 150), few),
        },
    }
    emit("variant_trials", report, args.out)


if __name__ == "__main__":
    main()
