"""Counts over a sliding window, in slots, so that a count costs no memory and forgetting costs no timer."""

from __future__ import annotations

SLOTS = 10


class RollingCounts:
    """Calls and failures of the last `window_seconds`, exact to a tenth of it. Times are `Clock.monotonic` seconds."""

    __slots__ = ("_calls", "_failures", "_slot", "_slot_seconds")

    def __init__(self, window_seconds: float) -> None:
        self._slot_seconds = window_seconds / SLOTS
        self._slot = 0
        self.clear()

    def clear(self) -> None:
        """Forgets all."""
        self._calls = [0] * SLOTS
        self._failures = [0] * SLOTS

    def add(self, now: float, *, failed: bool) -> None:
        """Counts one call that ended."""
        slot = int(now / self._slot_seconds)
        if slot != self._slot:
            self._advance(slot)
        self._calls[slot % SLOTS] += 1
        if failed:
            self._failures[slot % SLOTS] += 1

    def totals(self, now: float) -> tuple[int, int]:
        """Calls of the window, and the failures among them."""
        self._advance(int(now / self._slot_seconds))
        return sum(self._calls), sum(self._failures)

    def _advance(self, slot: int) -> None:
        for passed in range(self._slot + 1, min(slot, self._slot + SLOTS) + 1):
            self._calls[passed % SLOTS] = self._failures[passed % SLOTS] = 0
        self._slot = max(slot, self._slot)
