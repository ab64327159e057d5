"""Who counts what happens. Nothing here blocks or raises."""

from __future__ import annotations

from typing import Protocol

from services.jobs.domain.attempt import Verdict
from services.jobs.domain.job import Job


class GateObserver(Protocol):
    """Watches the gate."""

    def held(self, seconds: float) -> None:
        """A request got its room, or gave up, after so long."""
        ...

    def crowded(self) -> None:
        """A gateway or worker had no room where the gate saw some."""
        ...


class AttemptObserver(Protocol):
    """Watches attempts and their effects."""

    def begun(self, verdict: Verdict) -> None:
        """An attempt asked to begin."""
        ...

    def late(self, kind: str) -> None:
        """A write of an attempt that a later one had fenced off was refused: "renew", "apply" or "put_back"."""
        ...

    def step(self, outcome: str) -> None:
        """A request came to an end: "succeeded", "failed", or, once more, "retried" and "given_back"."""
        ...


class AgendaObserver(Protocol):
    """Watches the agenda."""

    def did(self, task: str, outcome: str, count: int = 1) -> None:
        """Some that were due: "done", "failed" (and due again), "held" (no repeat was sent: it waits in its topic)."""
        ...

    def ended(self, job: Job) -> None:
        """The end of a job was told, by this process first."""
        ...
