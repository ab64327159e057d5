"""A producer that sends together what was handed to it while another batch was under way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from libs.kafka.errors import RecordRefusedError
from libs.kafka.ports import Producer, Record

_RECORDS_MAX = 500
_BYTES_MAX = 4 * 2**20


@dataclass(frozen=True, slots=True)
class _Asked:
    records: tuple[Record, ...]
    done: asyncio.Future[None]

    @property
    def size_bytes(self) -> int:
        return sum(record.size_bytes for record in self.records)


class GatheringProducer:
    """Implements `Producer` over another one. A refused record fails its own caller alone.

    Whoever's turn it is sends for all that wait, so there is no task of its own to look after.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._turn = asyncio.Lock()
        self._asked: deque[_Asked] = deque()

    async def send(self, records: Sequence[Record]) -> None:
        """See Producer."""
        asked = _Asked(tuple(records), asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        try:
            async with self._turn:
                while not asked.done.done():
                    await self._send_next()
            asked.done.result()
        finally:
            with suppress(ValueError):  # it was cancelled before its turn
                self._asked.remove(asked)

    async def close(self) -> None:
        """See Producer."""
        await self._producer.close()

    async def _send_next(self) -> None:
        batch = self._take()
        try:
            await self._send(batch)
        except Exception as error:
            for asked in batch:
                _fail(asked, error)
        except BaseException:  # whoever had the turn was cancelled: the others' records go again with the next one's
            self._asked.extendleft(reversed([asked for asked in batch if not asked.done.done()]))
            raise

    def _take(self) -> list[_Asked]:
        batch: list[_Asked] = []
        records = size = 0
        while self._asked and (not batch or (records < _RECORDS_MAX and size < _BYTES_MAX)):
            batch.append(self._asked.popleft())
            records, size = records + len(batch[-1].records), size + batch[-1].size_bytes
        return batch

    async def _send(self, batch: Sequence[_Asked]) -> None:
        try:
            await self._producer.send([record for asked in batch for record in asked.records])
        except RecordRefusedError as error:
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            for asked in batch:
                await self._send([asked])
            return
        for asked in batch:
            if not asked.done.done():
                asked.done.set_result(None)


def _fail(asked: _Asked, error: Exception) -> None:
    if not asked.done.done():
        asked.done.set_exception(error)
        asked.done.exception()  # its caller may be gone; then nobody else asks
