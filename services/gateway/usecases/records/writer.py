"""Writes records in batches: texts through the redactor, a blob per tenant and batch, then the index.

A gateway that crashes loses what it has not written yet: the texts and explanations of a few seconds. The money of
those calls is in the ledger, which does not depend on any of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from libs.blobs import Blobs
from libs.clock import Clock
from libs.errors import PlatformError
from libs.telemetry import get_logger
from services.gateway.domain.request_batch import blob_name, grouped
from services.gateway.domain.request_record import TextState
from services.gateway.ports.records import Batch, Entry, Place, RecordIndex, RecordWatch
from services.gateway.usecases.records.recorder import Recorder, Unwritten
from services.gateway.usecases.records.texts import TextFiller

_log = get_logger("gateway.records")
# Records that are prepared in one go, some 15 us each.
AT_ONCE = 25
_SECONDS_PER_DAY = 86_400
PAUSE_SECONDS_FIRST, PAUSE_SECONDS_MAX = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class Stores:
    """Where records go."""

    blobs: Blobs
    index: RecordIndex


@dataclass(slots=True)
class _Written:
    """A blob that is ready to be put; a repeat puts the same one."""

    batch: Batch
    data: bytes
    keep_seconds: int


class RecordWriter:
    """Empties the recorder for ever; run `run` as a task, and `close` before the stores go."""

    def __init__(
        self,
        recorder: Recorder,
        filler: TextFiller,
        stores: Stores,
        clock: Clock,
        watch: RecordWatch,
        *,
        name: str,
        flush_seconds: float,
    ) -> None:
        """`name` is that of this life of the gateway: blobs of two lives never share a name."""
        self._recorder, self._filler, self._stores = recorder, filler, stores
        self._clock, self._watch = clock, watch
        self._name, self._flush_seconds = name, flush_seconds
        self._number = 0
        self._unfinished: list[_Written] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to write; returns at once."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="record-writer")

    async def close(self, seconds: float) -> None:
        """Writes what waits, for so long at most; what is left then is lost, and counted. A repeat does nothing."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        try:
            async with asyncio.timeout(seconds):
                await self._write_all()
        except (TimeoutError, PlatformError) as error:
            self._watch.failed(type(error).__name__)
        if len(self._recorder):
            self._watch.lost("record", len(self._recorder))

    async def _run(self) -> None:
        pause = PAUSE_SECONDS_FIRST
        while True:
            if not self._recorder.taken:
                await self._recorder.some.wait()
                await self._full_or(self._flush_seconds)
            try:
                await self._write_all()
                pause = PAUSE_SECONDS_FIRST
                continue
            except PlatformError as error:
                self._watch.failed(error.message)
            except Exception as error:  # a defect: it is told and tried again, for nobody would begin this task anew
                _log.exception("records cannot be written")
                self._watch.failed(type(error).__name__)
            await self._clock.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    async def _full_or(self, seconds: float) -> None:
        """Waits until a batch is full, so long at most."""
        loop = asyncio.get_running_loop()
        either = [loop.create_task(self._recorder.full.wait()), loop.create_task(self._clock.sleep(seconds))]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in either:
                task.cancel()
            await asyncio.gather(*either, return_exceptions=True)

    async def _write_all(self) -> None:
        """Writes what waits, batch by batch. What fails stays, and is the first to be written the next time."""
        recorder = self._recorder
        while len(recorder):
            if not recorder.taken:
                recorder.take()
            if not self._unfinished:
                self._unfinished = await self._prepared(list(recorder.taken.values()))
            while self._unfinished:
                await self._store(self._unfinished[0])
                del self._unfinished[0]
            recorder.taken.clear()

    async def _prepared(self, taken: Sequence[Unwritten]) -> list[_Written]:
        days = {one.record.tenant: one.retention_days for one in taken}
        for number, one in enumerate(taken):
            if not number % AT_ONCE:
                await asyncio.sleep(0)  # a batch of refusals, which have no texts, is long too
            try:
                for _ in self._filler.fill(one):
                    await asyncio.sleep(0)  # calls that stream go first
                one.line = msgspec.json.encode(one.record) + b"\n"
            except Exception as error:  # a defect in one text: the others are written, and this one never unredacted
                self._without_text(one, error)
        return [self._blob(group, days[group[0].record.tenant]) for group in grouped(taken)]

    def _without_text(self, one: Unwritten, error: Exception) -> None:
        _log.error("a request's texts could not be prepared", request_id=one.record.id, error=type(error).__name__)
        record = one.record
        record.prompt, record.answers, record.text = (), (), TextState.DROPPED
        one.line = msgspec.json.encode(record) + b"\n"
        self._watch.lost("text")

    def _blob(self, group: list[Unwritten], days: int) -> _Written:
        self._number += 1
        name = blob_name([one.record for one in group], self._name, self._number)
        entries, offset = [], 0
        for one in group:
            record, length = one.record, len(one.line)
            entries.append(Entry(record.id, record.key, record.user, Place(name, offset, length)))
            offset += length
        batch = Batch(group[0].record.tenant, name, entries)
        return _Written(batch, b"".join([one.line for one in group]), days * _SECONDS_PER_DAY)

    async def _store(self, written: _Written) -> None:
        # First the blob: an index entry never points to nothing.
        await self._stores.blobs.put(written.batch.blob, written.data)
        await self._stores.index.add(written.batch, written.keep_seconds)
        self._watch.written(len(written.batch.entries), len(written.data))
