"""What the workers' caches hold: what they said, and what they were just sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from libs.block_hash import Hashes
from services.router.domain.block_index import BlockIndex
from services.router.domain.expected import Expected, ExpectedRule
from services.router.domain.worker import StateMessage, Worker


@dataclass(frozen=True, slots=True)
class CachesRule:
    """`resync_seconds`: a worker is not asked for its blocks anew more often than this."""

    expected: ExpectedRule = field(default_factory=ExpectedRule)
    resync_seconds: float = 10.0


class Sent(NamedTuple):
    """A prompt that goes to `worker`, which has said that it holds the first `held` blocks.

    `tokens` are to be computed there, all but the first `cached` blocks.
    """

    worker: Worker
    blocks: Hashes
    now: float
    held: int = 0
    cached: int = 0
    tokens: float = 0.0


class Caches:
    """Of all workers of this router. Times are `Clock.monotonic`. `resyncs` counts, by reason.

    What is sent is written down by `note`, which a reply need not wait for: everything else here does it first, so that
    no look and no message ever comes before what was sent earlier.
    """

    def __init__(self, rule: CachesRule = CachesRule()) -> None:
        self._rule = rule
        self._sent: list[Sent] = []
        self.index = BlockIndex()
        self.expected = Expected(rule.expected)
        self.resyncs = {"count": 0, "drift": 0}

    def heard(self, worker: Worker, message: StateMessage, now: float) -> bool:
        """Takes in the blocks of a message that follows the last one. False = the worker must be asked for a snapshot.

        A snapshot replaces everything. It may count otherwise than the worker does (a worker that holds too much for
        one message says a part): the difference is kept, and a later message that differs by another number shows that
        something was missed.
        """
        self.note()
        if message.snapshot:
            self._begin_anew(worker, message)
        elif message.cleared:
            self.index.clear(worker.slot)
            self.expected.forget(worker.number)
        if message.dropped is not None:
            self.index.drop(worker.slot, message.dropped)
        if message.stored is not None:
            if message.slot is None:
                self.index.store(worker.slot, message.stored)
            self._told(worker, message)
        off = message.blocks_held - self.index.held(worker.slot)
        if message.snapshot:
            worker.blocks_off = off
        elif off != worker.blocks_off and not worker.resync:
            worker.resync = "count"
        return not worker.resync or not self._may_resync(worker, now)

    def _begin_anew(self, worker: Worker, message: StateMessage) -> None:
        worker.resync = ""
        if message.slot is None:
            self.index.clear(worker.slot)
            return
        before, worker.slot = worker.slot, message.slot
        self.index.give_back(before)

    def _told(self, worker: Worker, message: StateMessage) -> None:
        """Ends what was waited for and is there: of a snapshot, which may be long, by asking for that alone."""
        told = message.stored
        if message.snapshot:
            awaited = [*self.expected.awaited(worker.number), *worker.backlog.awaited()]
            told = self.index.holding(worker.slot, np.array(awaited, np.uint64))
        if told is not None and len(told):
            self.expected.told(worker.number, told)
            worker.backlog.told(told)

    def drifted(self, worker: Worker) -> None:
        """The worker's answers show that its cache is not what it is thought to be: its next message asks anew."""
        worker.resync = "drift"

    def lost(self, worker: Worker) -> None:
        """The worker's process or connection is gone: it will begin with a snapshot."""
        self.note()
        self.index.clear(worker.slot)
        self.expected.forget(worker.number)
        worker.backlog.clear()

    def restarted(self, worker: Worker) -> None:
        """A new life of the process: what the old one was sent is gone."""
        self.note()
        self.expected.forget(worker.number)
        worker.backlog.clear()

    def sent(self, sent: Sent) -> None:
        """A prompt goes to a worker. What that changes is seen by all that comes after, and worked out by `note`."""
        self._sent.append(sent)

    @property
    def unnoted(self) -> bool:
        """Whether `note` has work to do."""
        return bool(self._sent)

    def note(self) -> None:
        """Writes down what was sent: 5 to 20 µs a prompt."""
        if not self._sent:
            return
        noted, self._sent = self._sent, []
        for worker, blocks, now, held, cached, tokens in noted:
            if worker.kv_events:
                self.expected.send(worker.number, blocks, now, held)
                worker.backlog.send(blocks[cached:], tokens, now)
            elif worker.blocks_max:
                self.expected.assume(worker.number, blocks, worker.blocks_max)
            worker.weigh(now)

    def cached(self, blocks: Hashes, workers: Sequence[Worker], now: float) -> tuple[list[int], list[int]]:
        """Blocks from the start of a prompt that each of `workers` says it has, and that it has or is about to have."""
        if self._sent:
            self.note()
        slots = [worker.slot for worker in workers]
        held = self.index.runs(blocks).of(slots)
        expected = self.expected.runs(blocks, now)
        if not expected:
            return held, held
        return held, [max(run, expected.get(worker.number, 0)) for run, worker in zip(held, workers, strict=True)]

    def _may_resync(self, worker: Worker, now: float) -> bool:
        if now - worker.resynced_at < self._rule.resync_seconds:
            return False
        worker.resynced_at = now
        self.resyncs[worker.resync] += 1
        return True
