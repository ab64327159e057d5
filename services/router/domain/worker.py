"""One worker as this router sees it: what it told, and what this router has sent there since."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from math import exp
from typing import Any

from libs.block_hash import Hashes
from services.router.domain.backlog import Backlog

# A state message was written a moment before it is read: placements of that moment are not in it.
IN_TRANSIT_SECONDS = 0.03
# Weight of the newest call in the mean of a call's uncached tokens.
_MEAN_SHARE = 0.05
# Work sent to a worker loses its weight at this pace: half of it in two minutes. Much shorter and the balance over
# minutes is lost; much longer and a worker that joins late is flooded.
WORK_SECONDS = 173.0


class WorkerState(StrEnum):
    """`LIVE` alone is placed on. The value is what ListWorkers says."""

    LIVE = "live"
    DRAINING = "draining"
    UNHEALTHY = "unhealthy"
    SILENT = "silent"
    UNREACHABLE = "unreachable"
    # It lives, and fails or lags behind the others of its pool (`domain/ejection.py`).
    EJECTED = "ejected"


@dataclass(frozen=True, slots=True)
class Description:
    """What a worker said of itself. `wire` is the message it came in, carried to the catalog's readers unread.

    `block_tokens`, `blocks` and `running_max` are 0 when the engine does not say; `kv_events`: it tells its blocks.
    """

    worker: str
    boot_id: str
    model: str
    pools: tuple[str, ...]
    model_digest: str
    wire: Any = None
    block_tokens: int = 0
    blocks: int = 0
    running_max: int = 0
    kv_events: bool = False


@dataclass(frozen=True, slots=True)
class StateMessage:
    """One message of WatchState. `wire` as in `Description`, for ListWorkers.

    `stored` and `dropped` are hashes of blocks (None = none), `blocks_held` the worker's own count after the message.
    `queue_ms` is the mean wait of calls that began lately. `slot`: where in the block index `stored` has been put
    already, None = it has not.
    """

    boot_id: str
    sequence: int
    snapshot: bool
    running: int
    waiting: int
    draining: bool
    healthy: bool
    wire: Any = None
    kv_use: float = 0.0
    queue_ms: int = 0
    stored: Hashes | None = None
    dropped: Hashes | None = None
    cleared: bool = False
    blocks_held: int = 0
    slot: int | None = None


@dataclass(slots=True, eq=False)
class Worker:
    """Mutable: the registry changes it, the plan reads it.

    `number` is its own among the workers, `slot` that of its blocks in the index, which each snapshot may change.
    """

    address: str
    description: Description | None = None
    last: StateMessage | None = None
    heard_at: float = 0.0
    connected: bool = False
    silent: bool = False
    ejected: bool = False
    # Running and waiting as told, and what this router has placed since: when, and tokens that are not cached there.
    told: int = 0
    waiting: int = 0
    kv_use: float = 0.0
    recent: deque[tuple[float, float]] = field(default_factory=deque)
    recent_tokens: float = 0.0
    # Prompt tokens that it computes before those of a call that came now.
    tokens_ahead: float = 0.0
    # Of calls placed here: mean of uncached tokens, and their sum, which fades (as of `work_at`).
    tokens_mean: float = 0.0
    work: float = 0.0
    work_at: float = 0.0
    # Blocks told less blocks known, as of the last snapshot; why a snapshot is wanted, and when one was asked for.
    blocks_off: int = 0
    resync: str = ""
    resynced_at: float = float("-inf")
    number: int = 0
    slot: int = 0
    backlog: Backlog = field(default_factory=Backlog)

    @property
    def name(self) -> str:
        """The worker's own name; its address until it has told."""
        return self.description.worker if self.description else self.address

    @property
    def boot_id(self) -> str:
        """Of the described life of the process; empty before."""
        return self.description.boot_id if self.description else ""

    @property
    def kv_events(self) -> bool:
        """Whether it tells which blocks it holds."""
        return self.description is not None and self.description.kv_events

    @property
    def block_tokens(self) -> int:
        """Tokens of one KV block; 0 = not known."""
        return self.description.block_tokens if self.description else 0

    @property
    def blocks_max(self) -> int:
        """KV blocks that its cache has room for; 0 = not known."""
        return self.description.blocks if self.description else 0

    @property
    def load(self) -> int:
        """Calls running, waiting, and sent by this router since the last message."""
        return self.told + len(self.recent)

    def placed(self, now: float, tokens: float = 0.0) -> None:
        """Counts a call that this router sends there; `tokens` of its prompt are not cached."""
        if not self.recent:
            self.recent_tokens = 0.0
        self.recent.append((now, tokens))
        self.recent_tokens += tokens
        if tokens:
            self.tokens_mean += ((tokens - self.tokens_mean) * _MEAN_SHARE) if self.tokens_mean else tokens
            self.work += tokens

    def forget_placed(self, now: float) -> None:
        """Drops the placements that a message read at `now` must include."""
        recent = self.recent
        while recent and recent[0][0] < now - IN_TRANSIT_SECONDS:
            self.recent_tokens -= recent.popleft()[1]

    def weigh(self, now: float) -> None:
        """Sums up `work` and `tokens_ahead`, after a message and after a call was sent: each is asked about more often.

        `tokens_ahead` has two views, each of which misses something: calls told as waiting, at the mean of a call, and
        those sent since; and what this router has sent and was not told as computed, the prompt that is being computed
        included.
        """
        if self.work:
            self.work *= exp((self.work_at - now) / WORK_SECONDS)
        self.work_at = now
        queued = self.waiting * self.tokens_mean if self.waiting else 0.0
        if self.recent:
            queued += self.recent_tokens
        self.tokens_ahead = max(queued, self.backlog.tokens(now))

    @property
    def state(self) -> WorkerState:
        """See WorkerState. A worker of an unknown boot id is unreachable until it is described."""
        if not self.connected or self.last is None or self.last.boot_id != self.boot_id:
            return WorkerState.UNREACHABLE
        if self.silent:
            return WorkerState.SILENT
        if self.last.draining:
            return WorkerState.DRAINING
        if not self.last.healthy:
            return WorkerState.UNHEALTHY
        return WorkerState.EJECTED if self.ejected else WorkerState.LIVE
