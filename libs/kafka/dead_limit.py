"""A limit on dead letters, so that a deploy that can read nothing does not move a whole topic aside."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from libs.clock import Clock
from libs.kafka.letters_port import StopConsumingError


class DeadLimit:
    """At most `count` dead letters within any `window_seconds`, of all that one process consumes."""

    def __init__(self, count: int, window_seconds: float, clock: Clock) -> None:
        self._count, self._window, self._clock = count, window_seconds, clock
        self._moved: deque[float] = deque()
        self._moving = 0

    @contextmanager
    def one(self, topic: str, cause: str) -> Iterator[None]:
        """Around a move; one that fails does not count. Raises StopConsumingError when there were too many."""
        self._forget()
        if len(self._moved) + self._moving >= self._count:
            raise StopConsumingError(self._why(topic, cause))
        self._moving += 1
        try:
            yield
            self._moved.append(self._clock.monotonic())
        finally:
            self._moving -= 1

    def _forget(self) -> None:
        begin = self._clock.monotonic() - self._window
        while self._moved and self._moved[0] <= begin:
            self._moved.popleft()

    def _why(self, topic: str, cause: str) -> str:
        return (
            f"More than {self._count} messages became dead letters within {self._window:g} s: the fault is likely in "
            f"this deploy or its settings, not in single messages. The last one, of {topic}, was not moved: {cause}. "
            "Look at `headrace dlq list`, correct or roll back, and start again: consuming goes on where it stopped. "
            "If the messages are at fault after all, raise dead_letters_max."
        )
