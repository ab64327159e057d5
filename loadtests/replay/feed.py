"""What routers learn of a simulated worker, and when.

`Feed` is the platform's own stream (WatchState): a message every 250 ms, and at once after blocks came, at most one
every 20 ms; on the way for 1 to 10 ms, in order. `Gauge` is a metrics page that is read every 50 ms (llm-d's
`--refresh-metrics-interval`): what it shows is up to 50 ms old.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from loadtests.replay.engine import SimWorker

BEAT_MS = 250.0
COALESCE_MS = 20.0
TRANSIT_MS = (1.0, 10.0)
POLL_MS = 50.0
_QUEUE_WINDOW_MS = 5000.0

Schedule = Callable[[float, Callable[[float], None]], None]


@dataclass(frozen=True, slots=True)
class State:
    """One message; fields as in WatchStateResponse, blocks as integers."""

    boot_id: str
    sequence: int
    snapshot: bool
    running: int
    waiting: int
    kv_use: float
    stored: list[int]
    dropped: list[int]
    held: int
    queue_ms: int


class Feed:
    """Publishes one worker's state to `deliver` until `stop`. `schedule` runs a function at a time."""

    def __init__(
        self, worker: SimWorker, schedule: Schedule, deliver: Callable[[State, float], None], rng: random.Random
    ) -> None:
        self._worker, self._schedule, self._deliver, self._rng = worker, schedule, deliver, rng
        self._sequence = 0
        self._sent_ms = -BEAT_MS
        self._arrives_ms = -math.inf
        self._pending = False
        self._told: set[int] = set()
        self._stopped = False

    def start(self, now: float) -> None:
        """The first message is a snapshot; the beat begins at a phase of its own."""
        self._publish(now)
        self._schedule(now + self._rng.random() * BEAT_MS, self._first_beat)

    def stop(self) -> None:
        """Nothing more is said, what is on its way included."""
        self._stopped = True

    def changed(self, now: float) -> None:
        """Blocks may have come. Those that went are told with them, or with the next beat."""
        if not self._pending and self._worker.stored:
            self._pending = True
            self._schedule(max(now, self._sent_ms + COALESCE_MS), self._publish)

    def _first_beat(self, now: float) -> None:
        self._publish(now)
        self._beat(now)

    def _beat(self, now: float) -> None:
        if self._stopped:
            return
        if now >= self._sent_ms + BEAT_MS:
            self._publish(now)
        self._schedule(self._sent_ms + BEAT_MS, self._beat)

    def _publish(self, now: float) -> None:
        if self._stopped:
            return
        self._pending = False
        self._sent_ms = now
        self._sequence += 1
        stored, dropped = self._changes()
        state = State(
            f"{self._worker.name}-1",
            self._sequence,
            self._sequence == 1,
            self._worker.running,
            len(self._worker.waiting),
            self._worker.cache.use,
            stored,
            dropped,
            len(self._told),
            self._queue_ms(now),
        )
        self._arrives_ms = max(self._arrives_ms, now + self._rng.uniform(*TRANSIT_MS))
        self._schedule(self._arrives_ms, lambda at: None if self._stopped else self._deliver(state, at))

    def _changes(self) -> tuple[list[int], list[int]]:
        """A block that came and went since the last message leaves no trace."""
        worker = self._worker
        stored, worker.stored = worker.stored, []
        dropped = worker.cache.take_dropped()
        present = worker.cache.present
        fresh = [block for block in dict.fromkeys(stored) if block in present and block not in self._told]
        gone = [block for block in dict.fromkeys(dropped) if block in self._told and block not in present]
        self._told.update(fresh)
        self._told.difference_update(gone)
        return fresh, gone

    def _queue_ms(self, now: float) -> int:
        waits = self._worker.waits_ms
        while waits and waits[0][0] < now - _QUEUE_WINDOW_MS:
            waits.popleft()
        return round(sum(wait for _, wait in waits) / len(waits)) if waits else 0


class Gauge:
    """Waiting calls and KV use as a poller sees them."""

    def __init__(self, worker: SimWorker) -> None:
        self._worker = worker
        self._bucket = -1
        self._now = (0, 0.0)
        self._before = (0, 0.0)

    def changed(self, now: float) -> None:
        """To be called after every change."""
        bucket = int(now / POLL_MS)
        if bucket > self._bucket:
            self._before, self._bucket = self._now, bucket
        self._now = (len(self._worker.waiting), self._worker.cache.use)

    def read(self, now: float) -> tuple[int, float]:
        """(waiting, KV use 0..1) at the last poll."""
        return self._now if int(now / POLL_MS) > self._bucket else self._before
