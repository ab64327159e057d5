"""The index of request records in Valkey.

    hr:records:{tenant}:r:<request id>   where the record is (MessagePack), until its days are over
    hr:records:{tenant}:all              sorted set of the tenant's blobs; their names are in the order of time
    hr:records:{tenant}:k:<key id>       those with records of a key; so too :u:<user>

A set has an entry per blob, not per record. The blobs have everything: an index that was lost can be made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from libs.clock import Clock
from libs.valkey import Valkey
from services.gateway.domain.request_batch import folder, mark
from services.gateway.ports.records import Batch, Entry, Place

# Commands that travel together: few enough that those of calls need not wait for long.
_AT_ONCE = 32
_SECONDS_PER_DAY = 86_400
_Command = tuple[Any, ...]


class ValkeyRecordIndex:
    """See ports.records.RecordIndex."""

    def __init__(self, valkey: Valkey, clock: Clock) -> None:
        self._valkey, self._clock = valkey, clock

    async def add(self, batch: Batch, keep_seconds: int) -> None:
        """See RecordIndex. The sets come last: what is listed can be found by its id too."""
        # A day's folder is deleted when all of it is past its time.
        keep_seconds += _SECONDS_PER_DAY
        await self._all(_entry(batch.tenant, entry, keep_seconds) for entry in batch.entries)
        await self._all(self._listings(batch, keep_seconds))

    async def find(self, tenant: str, request_id: str) -> Place | None:
        """See RecordIndex."""
        packed = await self._valkey.command("GET", _key(tenant, f"r:{request_id}"))
        if packed is None:
            return None
        blob, offset, length = msgspec.msgpack.decode(packed)
        return Place(folder(tenant) + blob, offset, length)

    async def blobs(
        self,
        tenant: str,
        *,
        key: str = "",
        user: str = "",
        first: str,
        end: str,
        limit: int,
        newest_first: bool = False,
    ) -> Sequence[str]:
        """See RecordIndex."""
        below = folder(tenant)
        listed = _key(tenant, f"k:{key}" if key else f"u:{user}" if user else "all")
        least, most = f"({first.removeprefix(below)}", f"({end.removeprefix(below)}"
        order = (most, least, "BYLEX", "REV") if newest_first else (least, most, "BYLEX")
        found = await self._valkey.command("ZRANGE", listed, *order, "LIMIT", 0, limit)
        return [below + name.decode() for name in found]

    def _listings(self, batch: Batch, keep_seconds: int) -> Iterator[_Command]:
        """The blob into every set that it belongs to, and what is past its time out of them."""
        blob = batch.blob.removeprefix(folder(batch.tenant))
        past = mark(self._clock.unix() - keep_seconds)
        keys = {f"k:{entry.key}" for entry in batch.entries}
        users = {f"u:{entry.user}" for entry in batch.entries if entry.user}
        for name in ("all", *sorted(keys | users)):
            listed = _key(batch.tenant, name)
            yield "ZADD", listed, 0, blob
            yield "ZREMRANGEBYLEX", listed, "-", f"({past}"
            yield "EXPIRE", listed, keep_seconds

    async def _all(self, commands: Iterable[_Command]) -> None:
        made = iter(commands)
        while some := [self._valkey.command(*args) for args in islice(made, _AT_ONCE)]:
            await asyncio.gather(*some)


def _entry(tenant: str, entry: Entry, keep_seconds: int) -> _Command:
    place = (entry.place.blob.removeprefix(folder(tenant)), entry.place.offset, entry.place.length)
    return "SET", _key(tenant, f"r:{entry.request_id}"), msgspec.msgpack.encode(place), "EX", keep_seconds


def _key(tenant: str, name: str) -> str:
    return f"hr:records:{{{tenant}}}:{name}"
