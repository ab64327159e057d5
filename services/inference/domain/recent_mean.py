"""The mean of what was seen in the last seconds."""

from __future__ import annotations

from collections import deque


class RecentMean:
    """Sums by second, so that memory and the cost of a value do not grow with their number. Time comes in."""

    def __init__(self, seconds: int = 5) -> None:
        self._seconds = seconds
        self._slots: deque[list[float]] = deque()

    def add(self, now: float, value: float) -> None:
        """Counts a value seen at `now` (monotonic seconds)."""
        second = now // 1
        if not self._slots or self._slots[-1][0] != second:
            self._forget(now)
            self._slots.append([second, 0.0, 0.0])
        slot = self._slots[-1]
        slot[1] += value
        slot[2] += 1

    def mean(self, now: float) -> float:
        """Of the last seconds, 0 when nothing was seen in them."""
        self._forget(now)
        count = sum(slot[2] for slot in self._slots)
        return sum(slot[1] for slot in self._slots) / count if count else 0.0

    def _forget(self, now: float) -> None:
        while self._slots and self._slots[0][0] <= now // 1 - self._seconds:
            self._slots.popleft()
