"""How fast the workers of one model answer, and which of them is slow beside the others.

A worker is slow only against its peers: when all of them are slow, the pool is short of capacity, and taking workers
away would make it shorter (Envoy's outlier detection leaves success-rate outliers of a uniformly bad cluster for the
same reason). Medians, because one long prompt must not move the limit for all.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

# Prompts below it say little about the pace of the prefill: the rest of the time to first token outweighs it.
PREFILL_TOKENS_MIN = 256
# Seconds per prompt token before anything was measured: a small model on a CPU.
PREFILL_SECONDS_DEFAULT = 1 / 1000
WINDOWS = 3
SAMPLES_MAX = 64


@dataclass(frozen=True, slots=True)
class PaceRule:
    """When a worker is slow: so many times its peers' median, and never below the absolute limit."""

    factor: float = 4.0
    # Time to first token beyond the prefill of what the cache does not hold.
    first_token_seconds: float = 1.0
    # Mean time between tokens of a stream.
    gap_seconds: float = 0.1
    # First tokens older than this are no longer compared.
    recent_seconds: float = 2.0
    # Fewer first tokens, the calls that wait for theirs included, are a coincidence.
    samples_min: int = 3
    # Decoding time of all streams together, below which a mean gap is a coincidence.
    decoding_seconds_min: float = 0.5


class WorkerPace:
    """What one worker showed lately. Times in seconds."""

    __slots__ = ("_seconds", "_tokens", "_windows", "firsts")

    def __init__(self) -> None:
        # Calls that got their first token: when, and how long after their opening and what their prefill was expected
        # to take.
        self.firsts: deque[tuple[float, float]] = deque(maxlen=SAMPLES_MAX)
        self._windows: deque[tuple[float, int]] = deque(maxlen=WINDOWS)
        self._seconds = 0.0
        self._tokens = 0

    def decoded(self, seconds: float, tokens: int) -> None:
        """Streams of this worker waited so long, all together, and got so many tokens."""
        self._seconds += seconds
        self._tokens += tokens

    def turn(self) -> None:
        """Begins another window; three are remembered."""
        self._windows.append((self._seconds, self._tokens))
        self._seconds, self._tokens = 0.0, 0

    def recent(self, now: float, rule: PaceRule) -> list[float]:
        """Recent times to first token."""
        oldest = now - rule.recent_seconds
        return [seconds for at, seconds in self.firsts if at >= oldest]

    def gap(self, rule: PaceRule) -> float | None:
        """Mean seconds between tokens of a stream; None = too little was decoded to tell."""
        seconds = sum(window[0] for window in self._windows)
        tokens = sum(window[1] for window in self._windows)
        if seconds < rule.decoding_seconds_min:
            return None
        return seconds / max(tokens, 1)


class PrefillPace:
    """Seconds per prompt token of a model's prefill, the median of what its calls showed."""

    __slots__ = ("_samples", "seconds_per_token")

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=SAMPLES_MAX)
        self.seconds_per_token = PREFILL_SECONDS_DEFAULT

    def first_token(self, seconds: float, uncached_tokens: int) -> None:
        """A call with so many prompt tokens beyond the cache, PREFILL_TOKENS_MIN at least, began after `seconds`."""
        self._samples.append(seconds / uncached_tokens)

    def turn(self) -> None:
        """Brings the median up to date."""
        if len(self._samples) >= 3:
            self.seconds_per_token = statistics.median(self._samples)


def slow_to_begin(own: Sequence[float], peers: Sequence[Sequence[float]], rule: PaceRule) -> bool:
    """Whether times to first token are an outlier's. Without peers that can be compared nobody is slow."""
    limit = first_token_limit(peers, rule)
    return limit is not None and len(own) >= rule.samples_min and statistics.median(own) > limit


def first_token_limit(peers: Sequence[Sequence[float]], rule: PaceRule) -> float | None:
    """The longest time to first token that is not slow; None = no peer can be compared with."""
    medians = [statistics.median(each) for each in peers if len(each) >= rule.samples_min]
    if not medians:
        return None
    return max(rule.first_token_seconds, rule.factor * statistics.median(medians))


def gap_limit(peers: Sequence[float | None], rule: PaceRule) -> float | None:
    """The longest mean gap between tokens that is not slow; None = no peer can be compared with."""
    known = [gap for gap in peers if gap is not None]
    return max(rule.gap_seconds, rule.factor * statistics.median(known)) if known else None
