"""Retry budget: retries are a bounded share of recent requests, so that a failing backend is not drowned in them.

The rule is that of Finagle's RetryBudget and of the Google SRE book (chapter 22, "Addressing Cascading Failures"):
retries may be 10 % of the requests of a sliding window; a floor lets a quiet client retry at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

SLOTS = 10


@dataclass(frozen=True)
class RetryBudgetRule:
    """Retries of a window: up to `share` of its requests or `floor_per_second` on average, the larger one."""

    share: float = 0.1
    window_seconds: float = 10.0
    floor_per_second: float = 3.0


class RetryBudget:
    """Counts requests and retries in `SLOTS` slots of the window. `now` is `Clock.monotonic`; nothing blocks."""

    def __init__(self, now: Callable[[], float], rule: RetryBudgetRule | None = None) -> None:
        self._now = now
        self._rule = rule or RetryBudgetRule()
        self._slot_seconds = self._rule.window_seconds / SLOTS
        self._requests = [0] * SLOTS
        self._retries = [0] * SLOTS
        self._slot = math.floor(now() / self._slot_seconds)

    def request(self) -> None:
        """Counts a client's request (not its retries)."""
        self._advance()
        self._requests[self._slot % SLOTS] += 1

    def take(self) -> bool:
        """Takes one retry; False when the budget is spent, and then nothing is counted."""
        if self.left() < 1:
            return False
        self._retries[self._slot % SLOTS] += 1
        return True

    def left(self) -> int:
        """Retries that may still be taken now."""
        self._advance()
        allowed = max(sum(self._requests) * self._rule.share, self._rule.floor_per_second * self._rule.window_seconds)
        return max(0, math.floor(allowed) - sum(self._retries))

    def _advance(self) -> None:
        slot = math.floor(self._now() / self._slot_seconds)
        for passed in range(self._slot + 1, min(slot, self._slot + SLOTS) + 1):
            self._requests[passed % SLOTS] = self._retries[passed % SLOTS] = 0
        self._slot = slot
