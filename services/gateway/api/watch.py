"""Looks after all streamed answers from one task, so that no answer pays for a timer of its own.

Three things depend on time alone: headers that are held too long, silence that needs a ping, a client that does not
read. Each is good to a quarter of a second, so one walk over the running answers every quarter is enough.
"""

from __future__ import annotations

from typing import Protocol

from libs.clock import Clock

EVERY_SECONDS = 0.25


class Watched(Protocol):
    """A running answer."""

    def look(self, now: float) -> None:
        """Checks its times against `Clock.monotonic` seconds; must be quick and not raise."""
        ...


class Watch:
    """The set of running answers and the task that looks after them."""

    def __init__(self, clock: Clock, every_seconds: float = EVERY_SECONDS) -> None:
        self._clock = clock
        self._every = every_seconds
        self._running: set[Watched] = set()

    def add(self, answer: Watched) -> None:
        """Looks after an answer from now on."""
        self._running.add(answer)

    def remove(self, answer: Watched) -> None:
        """The answer has ended; a repeat does nothing."""
        self._running.discard(answer)

    def __len__(self) -> int:
        return len(self._running)

    def look(self) -> None:
        """Looks at every answer once."""
        now = self._clock.monotonic()
        for answer in tuple(self._running):
            answer.look(now)

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            await self._clock.sleep(self._every)
            self.look()
