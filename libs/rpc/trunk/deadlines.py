"""One timer for the deadlines of all calls of a trunk: most calls end long before theirs, so a timer each is waste."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol


class Expiring(Protocol):
    """A call; `expires_at` is in the loop's time."""

    expires_at: float

    def expire(self) -> None:
        """Its time is over."""
        ...


class Deadlines:
    """Expires calls on time. `live` lists those that are open; it is read when the earliest known deadline comes."""

    def __init__(self, live: Callable[[], Iterable[Expiring]]) -> None:
        self._live = live
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due = float("inf")

    def add(self, when: float) -> None:
        """A call with that deadline was opened."""
        if when < self._due:
            self._arm(when)

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = when
        self._timer = self._loop.call_at(when, self._sweep)

    def _sweep(self) -> None:
        self._timer, self._due = None, float("inf")
        now = self._loop.time()
        # Loops fire timers up to their clock's resolution early.
        for call in [call for call in self._live() if call.expires_at <= now + 0.001]:
            call.expire()
        left = min((call.expires_at for call in self._live()), default=None)
        if left is not None:
            self.add(left)

    def close(self) -> None:
        """Stops the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._due = None, float("inf")
