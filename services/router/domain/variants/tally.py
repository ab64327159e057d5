"""Counts of a variant's attempts: all of them, and the last minutes' times to the first token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from services.router.domain.outcomes import Outcomes

# Bucket i has the times below 2^i ms: the last is some 18 minutes, past every deadline.
BUCKETS = 21


@dataclass(slots=True)
class Tally:
    """Attempts that were not refused, those of them that failed, and first tokens by bucket. Floats, for they decay."""

    attempts: float = 0.0
    failures: float = 0.0
    buckets: tuple[float, ...] = (0.0,) * BUCKETS

    @classmethod
    def of(cls, told: Outcomes) -> Tally:
        """What a gateway reports. A count that cannot be (more failures than attempts) is cut, not believed."""
        attempts = max(told.attempts - told.refusals, 0)
        buckets = [float(max(count, 0)) for count in told.ttft_buckets]
        head, rest = buckets[:BUCKETS], sum(buckets[BUCKETS:])
        head += [0.0] * (BUCKETS - len(head))
        head[-1] += rest
        return cls(attempts, min(max(told.failures, 0), attempts), tuple(head))

    def add(self, other: Tally) -> None:
        """Counts `other` too."""
        self.attempts += other.attempts
        self.failures += other.failures
        self.buckets = tuple([mine + its for mine, its in zip(self.buckets, other.buckets, strict=True)])

    def fade(self, factor: float) -> None:
        """Lets what is counted weigh less."""
        self.attempts *= factor
        self.failures *= factor
        self.buckets = tuple([count * factor for count in self.buckets])

    def slow(self, edge: int) -> float:
        """First tokens of 2^(edge - 1) ms and more."""
        return sum(self.buckets[edge:])

    @property
    def timed(self) -> float:
        """First tokens in all."""
        return sum(self.buckets)


def percentile_ms(buckets: Sequence[float], share: float) -> int:
    """Milliseconds below which `share` of the times are, by the logarithm within a bucket; 0 = there are none."""
    total = sum(buckets)
    if not total:
        return 0
    wanted, below = share * total, 0.0
    for index, count in enumerate(buckets):
        if count and below + count >= wanted:
            inside = (wanted - below) / count
            return max(1, round(math.pow(2.0, index - 1 + inside)))
        below += count
    return round(math.pow(2.0, len(buckets) - 1))
