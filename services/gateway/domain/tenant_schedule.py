"""When to look at each of many tenants again: often where something happens, seldom where nothing does."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


class TenantSchedule:
    """Pauses double from `pause_min` to `pause_max` seconds while a tenant rests; `now` is a growing clock."""

    def __init__(self, pause_min: float, pause_max: float) -> None:
        self._min, self._max = pause_min, pause_max
        self._due_at: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []

    def __contains__(self, name: str) -> bool:
        return name in self._pauses

    def add(self, name: str, now: float) -> None:
        """A tenant not known so far: due at once."""
        if name not in self._pauses:
            self.busy(name, now)

    def due(self, now: float, limit: int) -> Sequence[str]:
        """Up to `limit` tenants whose time has come, longest due first. Each stays out until it is put back."""
        found: list[str] = []
        while self._queue and self._queue[0][0] <= now and len(found) < limit:
            due_at, name = heapq.heappop(self._queue)
            if self._due_at.get(name) == due_at:  # else it was moved meanwhile
                del self._due_at[name]
                found.append(name)
        return found

    def later(self, name: str, now: float, seconds: float) -> None:
        """Due in so many seconds."""
        self._due_at[name] = now + seconds
        self._pauses.setdefault(name, self._min)
        heapq.heappush(self._queue, (now + seconds, name))

    def busy(self, name: str, now: float) -> None:
        """Something happens there: due at once, and its pause starts small again."""
        self._pauses[name] = self._min
        self.later(name, now, 0.0)

    def rest(self, name: str, now: float) -> None:
        """Nothing was there: due after its pause, and the next one is twice as long."""
        pause = self._pauses.get(name, self._min)
        self._pauses[name] = min(pause * 2, self._max)
        self.later(name, now, pause)
