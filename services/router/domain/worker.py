"""One worker as this router sees it: what it told, and what this router has sent there since."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

# A state message was written a moment before it is read: placements of that moment are not in it.
IN_TRANSIT_SECONDS = 0.03


class WorkerState(StrEnum):
    """`LIVE` alone is placed on. The value is what ListWorkers says."""

    LIVE = "live"
    DRAINING = "draining"
    UNHEALTHY = "unhealthy"
    SILENT = "silent"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Description:
    """What a worker said of itself. `wire` is the message it came in, carried to the catalog's readers unread."""

    worker: str
    boot_id: str
    model: str
    pools: tuple[str, ...]
    model_digest: str
    wire: Any = None


@dataclass(frozen=True, slots=True)
class StateMessage:
    """One message of WatchState. `wire` as in `Description`, for ListWorkers."""

    boot_id: str
    sequence: int
    snapshot: bool
    running: int
    waiting: int
    draining: bool
    healthy: bool
    wire: Any = None


@dataclass(slots=True, eq=False)
class Worker:
    """Mutable: the registry changes it, the plan reads it."""

    address: str
    description: Description | None = None
    last: StateMessage | None = None
    heard_at: float = 0.0
    connected: bool = False
    silent: bool = False
    # Running and waiting as told, and when this router has placed calls since.
    told: int = 0
    recent: deque[float] = field(default_factory=deque)

    @property
    def name(self) -> str:
        """The worker's own name; its address until it has told."""
        return self.description.worker if self.description else self.address

    @property
    def boot_id(self) -> str:
        """Of the described life of the process; empty before."""
        return self.description.boot_id if self.description else ""

    @property
    def load(self) -> int:
        """Calls running, waiting, and sent by this router since the last message."""
        return self.told + len(self.recent)

    def placed(self, now: float) -> None:
        """Counts a call that this router sends there."""
        self.recent.append(now)

    def forget_placed(self, now: float) -> None:
        """Drops the placements that a message read at `now` must include."""
        recent = self.recent
        while recent and recent[0] < now - IN_TRANSIT_SECONDS:
            recent.popleft()

    @property
    def state(self) -> WorkerState:
        """See WorkerState. A worker of an unknown boot id is unreachable until it is described."""
        if not self.connected or self.last is None or self.last.boot_id != self.boot_id:
            return WorkerState.UNREACHABLE
        if self.silent:
            return WorkerState.SILENT
        if self.last.draining:
            return WorkerState.DRAINING
        return WorkerState.LIVE if self.last.healthy else WorkerState.UNHEALTHY
