"""How fast a job goes on, from what is heard of it. Times are seconds of any one clock."""

from __future__ import annotations

from collections import deque

# News older than this tell of another pace: short enough to show a stop, long enough to be calm.
WINDOW_SECONDS = 30.0


class Pace:
    """Of tokens and of requests, over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()

    def see(self, now: float, done: int, tokens: int) -> None:
        """So many requests have ended by `now`, and so many tokens were made."""
        self._seen.append((now, done, tokens))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW_SECONDS:
            self._seen.popleft()

    @property
    def tokens_per_second(self) -> float:
        """0 before anything can be said. Tokens of an answer that was lost are taken back, never counted below 0."""
        return max(0.0, self._rate(2))

    def seconds_left(self, missing: int) -> float | None:
        """Until so many more requests have ended; None before anything can be said."""
        rate = self._rate(1)
        return missing / rate if rate > 0 else None

    def _rate(self, what: int) -> float:
        if len(self._seen) < 2:
            return 0.0
        first, last = self._seen[0], self._seen[-1]
        seconds = last[0] - first[0]
        return (last[what] - first[what]) / seconds if seconds > 0 else 0.0
