"""Who is told of calls that wait for a worker."""

from __future__ import annotations

from typing import Protocol


class WaitObserver(Protocol):
    """Learns how waits end, for metrics. Must be quick; never raises."""

    def waited(self, outcome: str, seconds: float) -> None:
        """A wait is over: "served", "refused" or "gone" (the caller went away, or the call failed otherwise)."""
        ...

    def refused(self, why: str) -> None:
        """A call is told to come back later: "full" (it did not wait) or "late" (its wait was used up)."""
        ...
