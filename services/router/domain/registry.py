"""The workers this router knows, driven by their state messages and by time."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from services.router.domain.caches import Caches
from services.router.domain.catalog import Catalog, build_catalog
from services.router.domain.ejection import Ejection
from services.router.domain.worker import Description, StateMessage, Worker, WorkerState


class Verdict(Enum):
    """What the subscriber must do after a message."""

    FINE = auto()
    # A message was missed (or came twice), or its blocks do not add up: subscribe again, from a snapshot.
    RESUBSCRIBE = auto()
    # A new life of the process: ask DescribeModel again; until then nothing is placed there.
    DESCRIBE = auto()


class Registry:
    """Times are `Clock.monotonic`. A change of who may be placed on raises `generation`.

    `caches` learns the workers' blocks.
    """

    def __init__(self, addresses: Iterable[str], silence_seconds: float, caches: Caches | None = None) -> None:
        self.caches = caches or Caches()
        self.workers = {
            address: Worker(address, number=number, slot=self.caches.index.take())
            for number, address in enumerate(addresses)
        }
        self.generation = 0
        self._silence_seconds = silence_seconds
        self._swept_at: float | None = None
        self._catalog = build_catalog([], 0)
        self._seen: dict[str, tuple[WorkerState, Description | None]] = {}

    @property
    def catalog(self) -> Catalog:
        """The names that can be placed now."""
        if self._catalog.generation != self.generation:
            self._catalog = build_catalog(self.workers.values(), self.generation)
        return self._catalog

    def heard(self, address: str, message: StateMessage, now: float) -> Verdict:
        """Takes a state message in."""
        worker = self.workers[address]
        last = worker.last if worker.connected else None
        follows = last is not None and (message.boot_id, message.sequence) == (last.boot_id, last.sequence + 1)
        if not message.snapshot and not follows:
            return Verdict.RESUBSCRIBE
        if last is not None and last.boot_id != message.boot_id:
            self.caches.restarted(worker)
        worker.last, worker.heard_at, worker.connected, worker.silent = message, now, True, False
        worker.told = message.running + message.waiting
        worker.waiting, worker.kv_use = message.waiting, message.kv_use
        worker.forget_placed(now)
        whole = self.caches.heard(worker, message, now)
        worker.weigh(now)
        self._note_change(worker)
        if worker.boot_id != message.boot_id:
            return Verdict.DESCRIBE
        return Verdict.FINE if whole else Verdict.RESUBSCRIBE

    def still_reading(self, address: str, now: float) -> None:
        """What the worker has said is being taken in: meanwhile it is not silent."""
        self.workers[address].heard_at = now

    def described(self, address: str, description: Description) -> None:
        """Takes a description in."""
        worker = self.workers[address]
        worker.description = description
        self._note_change(worker)

    def lost(self, address: str) -> None:
        """The connection or the subscription broke."""
        worker = self.workers[address]
        worker.connected = False
        worker.told = worker.waiting = 0
        worker.recent.clear()
        self.caches.lost(worker)
        worker.tokens_ahead = 0.0
        self._note_change(worker)

    def sweep(self, now: float) -> None:
        """Marks workers silent; to be called several times per `silence_seconds`.

        A late call means that this process slept or was starved, and their messages wait in its sockets: then
        nobody is judged before the next call.
        """
        late = self._swept_at is not None and now - self._swept_at > self._silence_seconds / 2
        self._swept_at = now
        if late:
            return
        for worker in self.workers.values():
            if worker.connected and now - worker.heard_at > self._silence_seconds:
                worker.silent = True
                self._note_change(worker)

    def drifted(self, worker: Worker) -> None:
        """Its blocks are to be asked for anew."""
        self.caches.drifted(worker)

    def eject(self, ejection: Ejection, now: float) -> list[Worker]:
        """Takes workers out and lets them back. Returns whom."""
        changed = ejection.sweep(self.workers.values(), now)
        for worker in changed:
            self._note_change(worker)
        return changed

    def _note_change(self, worker: Worker) -> None:
        seen = (worker.state, worker.description)
        if self._seen.get(worker.address) != seen:
            self._seen[worker.address] = seen
            self.generation += 1
