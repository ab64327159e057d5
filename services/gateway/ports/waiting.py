"""Who is told of calls that wait for a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class WaitObserver(Protocol):
    """Learns how waits end, for metrics. Must be quick; never raises."""

    def waited(self, outcome: str, seconds: float) -> None:
        """A wait is over: "served", "refused" or "gone" (the caller went away, or the call failed otherwise)."""
        ...

    def refused(self, why: str) -> None:
        """A call is told to come back later: "full" or "hopeless" (it did not wait), "late" (its wait was used up),
        "displaced" (another one needed its place) or "background" (live calls need the places).
        """
        ...

    def opened(self, model: str, limit: Callable[[], int], in_flight: Callable[[], int]) -> None:
        """A model was called for the first time; both can be read at any time."""
        ...
