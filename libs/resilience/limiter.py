"""Adaptive concurrency: how many calls may be under way at once, learned from how long they wait before they begin.

The wait in the server's queue, not the latency, is what is kept small: answers differ in length, a standing queue is
of no use to anybody. The target is CoDel's idea (Nichols, Jacobson 2012: a queue that stands is bad, one that a burst
leaves is not), the step down is Little's law (calls that stand = rate x wait, as TCP Vegas counts them), the way up is
additive, so that several limiters before the same servers come to equal shares (Chiu, Jain 1989). A step is judged by
calls that were sent after the last one, so that no step is answered twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

# Waits that one step looks at; more say nothing new.
SAMPLES_MAX = 256
# Share of the last call in the mean duration.
RECENT = 0.05
# A step up is a place per worker, and at least so many: the same for all limiters, however large. A step down takes at
# least a tenth, and at most half. Both together make unequal limiters alike.
GROWTH_LEAST = 2.0
CUT_LEAST = 0.1
CUT_MOST = 0.5
CUT_REFUSED = 0.1


@dataclass(frozen=True, slots=True)
class LimiterRule:
    """`target_seconds` may most calls wait, or `target_share` of what calls take, the larger one.

    The share is for engines whose steps are long: a tenth of a second is nothing to an answer of ten seconds.
    """

    start_per_worker: int = 32
    limit_max: int = 4096
    target_seconds: float = 0.05
    target_share: float = 0.05
    interval_seconds: float = 0.1
    samples_min: int = 8


class ConcurrencyLimiter:
    """The limit of one pool. Times are `Clock.monotonic` seconds; nothing blocks. `in_flight` never passes `limit`
    by `take`; a limit that shrinks below it lets the surplus end.
    """

    __slots__ = (
        "_changed_at", "_count", "_enough", "_exact", "_rule", "_since", "_starting", "_tried", "_waits", "_wanted",
        "_workers", "in_flight", "limit", "service_seconds",
    )  # fmt: skip

    def __init__(self, rule: LimiterRule, workers: int, now: float) -> None:
        self._rule = rule
        self._workers = max(1, workers)
        self._exact = float(rule.start_per_worker * self._workers)
        self.in_flight = 0
        # Mean duration of calls, 0 = none has ended.
        self.service_seconds = 0.0
        # Doubles with each step until the first one down, as TCP does.
        self._starting = True
        self._wanted = self._tried = False
        self._changed_at = self._since = now
        self._waits: list[float] = []
        self._count = 0
        self.limit = self._enough = 0
        self._set(self._exact, now)

    def has_room(self) -> bool:
        """Whether a place is free; being asked in vain speaks for a higher limit."""
        if self.in_flight < self.limit:
            return True
        self._wanted = True
        return False

    def take(self) -> bool:
        """Takes a place; False when all are taken."""
        if self.in_flight < self.limit:
            self.in_flight += 1
            return True
        self._wanted = True
        return False

    def give_back(self, seconds: float | None = None) -> None:
        """Gives a place back; `seconds` is how long a whole call took, None = it says nothing of the others."""
        self.in_flight -= 1
        if seconds is not None:
            known = self.service_seconds
            self.service_seconds = known + RECENT * (seconds - known) if known else seconds

    def began(self, sent_at: float, wait_seconds: float, now: float) -> bool:
        """A call that was sent at `sent_at` has begun after `wait_seconds` in its server's queue.

        True when the limit was looked at: there may be room.
        """
        if self._wanted and not self._tried:
            # The limit has just been reached: what was sent before does not speak for it, however short its waits.
            self._tried = True
            self._forget(now)
        if sent_at < self._changed_at:
            return False
        if not self._count:
            self._since = now
        self._count += 1
        if self._count <= SAMPLES_MAX:
            self._waits.append(wait_seconds)
        if self._count < self._enough or now - self._since < self._rule.interval_seconds:
            return False
        self._step(now)
        return True

    def refused(self, sent_at: float, now: float) -> None:
        """No server had room for a call that was sent at `sent_at`; its place was given back."""
        if sent_at > self._changed_at:
            self._starting = False
            # What is under way is all that there was room for; a limit far above it was never tried, and is halved.
            self._set(max(self.in_flight * (1.0 - CUT_REFUSED), self._exact * CUT_MOST), now)

    def resize(self, workers: int, now: float) -> None:
        """Servers have come or gone: the limit goes with them, and never below their number."""
        workers = max(1, workers)
        if workers != self._workers:
            before, self._workers = self._workers, workers
            self._set(self._exact * workers / before, now)

    @property
    def target_seconds(self) -> float:
        """The wait that is aimed at."""
        return max(self._rule.target_seconds, self._rule.target_share * self.service_seconds)

    def _step(self, now: float) -> None:
        wait, target, limit = median(self._waits), self.target_seconds, self._exact
        if wait > target:
            standing = self._count / (now - self._since) * (wait - target)
            self._starting = False
            self._set(limit - min(max(standing, CUT_LEAST * limit), CUT_MOST * limit), now)
        elif self._wanted:
            self._set(2.0 * limit if self._starting else limit + max(GROWTH_LEAST, self._workers), now)
        else:
            # Nobody was turned away: a limit that is not reached proves nothing.
            self._set(limit, now)

    def _set(self, limit: float, now: float) -> None:
        self._exact = min(max(limit, float(self._workers)), float(max(self._rule.limit_max, self._workers)))
        self.limit = int(self._exact)
        self._enough = min(self._rule.samples_min, math.ceil(self.limit / 2))
        self._wanted = self._tried = False
        self._forget(now)

    def _forget(self, now: float) -> None:
        self._changed_at = now
        self._waits.clear()
        self._count = 0


class FirstTokenWait:
    """The wait in the queue of a server that does not tell it: what its first token took beyond twice the least.

    The least of the last one to two windows; twice, for prompts differ in length (the tolerance of Netflix's
    concurrency-limits, Gradient2).
    """

    __slots__ = ("_before", "_least", "_since", "_window")

    def __init__(self, window_seconds: float = 30.0) -> None:
        self._window = window_seconds
        self._since = 0.0
        self._least = self._before = math.inf

    def of(self, first_token_seconds: float, now: float) -> float:
        """Seconds that this call has waited, as far as can be told."""
        if now - self._since > self._window:
            self._since, self._before, self._least = now, self._least, math.inf
        self._least = min(self._least, first_token_seconds)
        return max(0.0, first_token_seconds - 2.0 * min(self._least, self._before))
