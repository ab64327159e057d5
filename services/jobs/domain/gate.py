"""How many of a pool's slots jobs may have, so that live calls never wait for them.

Several consumers share a pool without a word between them. Each takes a share of what all others leave, as queues do
that share a switch's memory (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches",
1998): at share a each of n consumers settles at a / (1 + (n - 1) a) of what live calls leave, so that none starves.
Calls that wait in the workers in spite of that halve the number, as TCP halves its window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

# What the router tells may be so old: a call that began or ended since may or may not be in it.
LAG_SECONDS = 0.5
# The router speaks ten times a second while something changes.
LUCK = 0.1 / LAG_SECONDS
# First window of a pool, and the pause between two halvings: the effect of one is seen after about so long.
WINDOW_FIRST = 4
CALM_SECONDS = 1.0
_BUCKETS = 10


@dataclass(frozen=True, slots=True)
class GateRule:
    """See GateSettings, where each is explained."""

    share: float = 0.75
    share_max: float = 0.5
    headroom: float = 0.15
    memory_seconds: float = 10.0
    wait_ms_max: int = 20
    silence_seconds: float = 2.5
    blind_max: int = 4


@dataclass(frozen=True, slots=True)
class Told:
    """The router's word on a pool."""

    idle: int
    running: int
    waiting: int
    wait_ms: int = 0

    @property
    def slots(self) -> int:
        """Calls that it can run at once, as far as can be told."""
        return self.running + self.idle


def limit(rule: GateRule, slots: int, others: int, peak: int, part: float = 1.0) -> int:
    """Slots that this consumer may have, of `slots` in all. `others` are what live calls and other consumers have now,
    and `peak` the most that they had lately: they are left that, or what they have and the headroom, whichever is more.

    `part` is its part of the work of all consumers. A pool of one slot has no headroom: else no job would ever run
    there.
    """
    headroom = min(ceil(rule.headroom * slots), slots - 1)
    free = slots - max(peak, others + headroom)
    if free < 1:
        return 0
    return max(1, min(int(share_of(rule, part) * free), int(rule.share_max * part * slots)))


def share_of(rule: GateRule, part: float) -> float:
    """What one consumer takes of what others leave, so that all together take `rule.share` of what live calls leave."""
    return rule.share * part / (1 - (1 - part) * rule.share)


class Span(NamedTuple):
    """A value over a time: the lowest, the highest, and what it was at the beginning."""

    low: int
    high: int
    first: int


class Lately:
    """A value over the last `seconds`, to a tenth of it."""

    def __init__(self, seconds: float) -> None:
        self._width = seconds / _BUCKETS
        self._value = 0
        # Number of the tenth, and the value's span in it.
        self._seen: deque[tuple[int, Span]] = deque()

    def set(self, now: float, value: int) -> None:
        """The value from now on; until now it was the one before."""
        number, before = int(now / self._width), self._value
        low, high = min(before, value), max(before, value)
        if self._seen and self._seen[-1][0] == number:
            _, span = self._seen.pop()
            low, high, before = min(low, span.low), max(high, span.high), span.first
        self._seen.append((number, Span(low, high, before)))
        self._value = value

    def read(self, now: float) -> Span:
        """With the present value."""
        oldest = int(now / self._width) - _BUCKETS
        while self._seen and self._seen[0][0] < oldest:
            self._seen.popleft()
        if not self._seen:
            return Span(self._value, self._value, self._value)
        spans = [span for _, span in self._seen]
        low, high = min(span.low for span in spans), max(span.high for span in spans)
        return Span(min(low, self._value), max(high, self._value), spans[0].first)


class PoolGate:
    """What one consumer knows of one pool. `now` are seconds that never go back."""

    def __init__(self, rule: GateRule, uniform: Callable[[], float]) -> None:
        """`uniform` gives numbers in [0, 1)."""
        self._rule, self._uniform = rule, uniform
        self.own = 0
        self.part = 1.0
        self._own_lately = Lately(LAG_SECONDS)
        self._others_lately = Lately(rule.memory_seconds)
        self._told: Told | None = None
        self._told_at = 0.0
        self._blind = False
        self._window = WINDOW_FIRST
        self._answered = 0
        self._lucky = False
        self._halved_at = float("-inf")
        self._closed_until = float("-inf")

    def tell(self, now: float, told: Told) -> None:
        """The router's word."""
        self._told, self._told_at, self._blind = told, now, False
        # Where less is left than there are consumers, one of them begins one call within the lag.
        self._lucky = self._grown(now) == 0 and (self.part >= 1.0 or self._uniform() < self.part * LUCK)
        lately = self._own_lately.read(now)
        self._others_lately.set(now, max(0, told.running - lately.high))
        if told.waiting or told.wait_ms > self._rule.wait_ms_max:
            self._halve(now)
        elif 4 * self.own >= 3 * self._window:  # it was in use: a window that nobody fills proves nothing
            self._window += max(1, self._window // 4)

    def unknown(self) -> None:
        """The router does not know this name: whether there is room is learned from refusals."""
        self._told, self._blind = None, True

    def began(self, now: float) -> None:
        """A call of ours begins."""
        self.own += 1
        self._lucky = False
        self._own_lately.set(now, self.own)

    def ended(self, now: float, *, answered: bool = False) -> None:
        """A call of ours is over; `answered` by a worker."""
        self.own -= 1
        self._own_lately.set(now, self.own)
        if answered and self._blind:
            self._answered += 1
            if self._answered >= self._window:
                self._answered, self._window = 0, min(self._window + 1, self._rule.blind_max)

    def refused(self, now: float, pause_seconds: float) -> None:
        """There was no room after all; none is tried for so long."""
        self._halve(now)
        self._closed_until = max(self._closed_until, now + pause_seconds)

    def room(self, now: float) -> int:
        """Calls that may begin now."""
        if now < self._closed_until:
            return 0
        if self._blind:
            return max(0, self.allowed(now) - self.own)
        gap = self._shared(now) - self.own
        if gap <= 0:
            return 0
        # What this one begins, the others begin at the same time, each its part: the gap is for all of them. Not so
        # what replaces calls of ours that have just ended, for the others still see those.
        mine = int(gap / (1 + share_of(self._rule, self.part) * self._unseen_per_own))
        again = min(gap, self._own_lately.read(now).first - self.own)
        return max(0, min(max(mine, again, int(self._lucky)), self._window - self.own))

    def allowed(self, now: float) -> int:
        """Calls that this consumer may have under way."""
        most = self._rule.blind_max if self._blind else self._shared(now)
        return min(self._window, most)

    def _shared(self, now: float) -> int:
        """Its share of what others leave, by the router's word."""
        told = self._told
        if told is None or now - self._told_at > self._rule.silence_seconds or told.waiting:
            return 0
        # Of ours, those that are in the word for certain; of the others', what it cannot have yet.
        others = told.running - self._own_lately.read(now).low + ceil(self._grown(now) * self._unseen_per_own)
        return limit(self._rule, told.slots, others, self._others_lately.read(now).high, self.part)

    def _grown(self, now: float) -> int:
        """By how many calls this consumer has grown within the lag."""
        return max(0, self.own - self._own_lately.read(now).first)

    @property
    def _unseen_per_own(self) -> float:
        """Calls that the other consumers begin for each of this one's."""
        return 1 / max(self.part, 0.001) - 1

    def heard(self, now: float) -> bool:
        """Whether what is known is fresh."""
        return self._blind or (self._told is not None and now - self._told_at <= self._rule.silence_seconds)

    def _halve(self, now: float) -> None:
        if now - self._halved_at >= CALM_SECONDS:
            self._halved_at = now
            self._window = max(1, min(self._window, max(self.own, 1)) // 2)
