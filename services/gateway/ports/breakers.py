"""Who is told of breakers, and who knows whether a worker lives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol


class BreakerObserver(Protocol):
    """Learns of every transition and of every candidate that was left out, for metrics and the log. Never raises."""

    def changed(self, model: str, worker: str, state: str, cause: str) -> None:
        """The breaker of this worker is in another state: "closed", "open" or "half-open". Causes: see domain/blame.py
        and usecases/watchdog.py.
        """
        ...

    def skipped(self, why: str) -> None:
        """A call left a worker out: "breaker-open", "half-open" or "retry-after"."""
        ...

    def stalled(self, cause: str) -> None:
        """An attempt was given up while it ran."""
        ...

    def forgotten(self, model: str, worker: str) -> None:
        """That worker, or that life of it, was not used for long."""
        ...


# Of the worker at an address, under a boot id: see Workers.lives and Workers.died. Never raises.
Lives = Callable[[str, str], Awaitable[bool]]
Died = Callable[[str, str], Awaitable[bool]]
