"""Finds records again: one by its id, or many by time, key and user."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from libs.blobs import Blobs, checked_name
from libs.errors import PlatformError, Reason
from services.gateway.domain.request_batch import SPAN_SECONDS, folder, mark
from services.gateway.domain.request_record import RequestRecord
from services.gateway.ports.records import RecordIndex
from services.gateway.usecases.records.recorder import Recorder

_BLOBS_AT_ONCE = 64
_decoder = msgspec.json.Decoder(RequestRecord)


@dataclass(frozen=True, slots=True)
class Query:
    """Records of a tenant that began within a time (Unix seconds, both included); "" = any key, any user."""

    tenant: str
    first_at: float
    last_at: float
    key: str = ""
    user: str = ""


class _Cursor(msgspec.Struct, array_like=True):
    """The last record that was read: its blob, below its tenant's folder, and its line."""

    blob: str
    line: int


class RecordReader:
    """See the module. Raises STORE_UNAVAILABLE."""

    def __init__(self, recorder: Recorder, index: RecordIndex, blobs: Blobs) -> None:
        self._recorder, self._index, self._blobs = recorder, index, blobs

    async def get(self, tenant: str, request_id: str) -> RequestRecord | None:
        """A tenant's record; without its texts while this gateway has not written it yet. None = there is none."""
        waiting = self._recorder.find(tenant, request_id)
        if waiting is not None:
            return waiting
        place = await self._index.find(tenant, request_id)
        if place is None:
            return None
        try:
            line = await self._blobs.get(place.blob, place.offset, place.length)
        except PlatformError as error:
            if error.reason is Reason.NOT_FOUND:  # its days are over
                return None
            raise
        return _decoder.decode(line)

    async def read(self, query: Query, after: str = "") -> AsyncIterator[tuple[RequestRecord, str]]:
        """Records that are written, about in the order of their time, those behind the cursor `after`.

        Each comes with its cursor. Raises INVALID_REQUEST for a cursor that is none.
        """
        behind = folder(query.tenant)
        cursor = _parsed(after) if after else None
        if cursor is not None:
            async for found in self._of_blob(query, behind + cursor.blob, cursor.line):
                yield found
        # A blob is named after its last record; its first one may be within the time even so.
        end = behind + mark(query.last_at + SPAN_SECONDS)
        first = behind + (cursor.blob if cursor else mark(query.first_at))
        while True:
            names = await self._index.blobs(
                query.tenant, key=query.key, user=query.user, first=first, end=end, limit=_BLOBS_AT_ONCE
            )
            for name in names:
                async for found in self._of_blob(query, name, -1):
                    yield found
            if len(names) < _BLOBS_AT_ONCE:
                return
            first = names[-1]

    async def newest(self, query: Query, limit: int) -> list[RequestRecord]:
        """So many records that are written, the newest first."""
        found: list[RequestRecord] = []
        first = folder(query.tenant) + mark(query.first_at)
        end = folder(query.tenant) + mark(query.last_at + SPAN_SECONDS)
        while len(found) < limit:
            names = await self._index.blobs(
                query.tenant, key=query.key, user=query.user, first=first, end=end, limit=_BLOBS_AT_ONCE,
                newest_first=True,
            )  # fmt: skip
            for name in names:
                of_blob = [record async for record, _ in self._of_blob(query, name, -1)]
                found += reversed(of_blob)
                if len(found) >= limit:
                    break
            if len(names) < _BLOBS_AT_ONCE:
                break
            end = names[-1]
        return found[:limit]

    async def _of_blob(self, query: Query, name: str, line: int) -> AsyncIterator[tuple[RequestRecord, str]]:
        """A blob's records that the query wants, behind a line."""
        lines = await lines_of(self._blobs, name)
        for number in range(line + 1, len(lines)):
            record = _decoder.decode(lines[number])
            if _wanted(query, record):
                yield record, _text(_Cursor(name.removeprefix(folder(query.tenant)), number))


async def lines_of(blobs: Blobs, name: str) -> list[bytes]:
    """A blob's records, encoded; none where its days are over."""
    try:
        return (await blobs.get(name)).splitlines()
    except PlatformError as error:
        if error.reason is Reason.NOT_FOUND:
            return []
        raise


def _wanted(query: Query, record: RequestRecord) -> bool:
    return (
        query.first_at <= record.at <= query.last_at
        and query.key in ("", record.key)
        and query.user in ("", record.user)
    )


def _text(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def _parsed(text: str) -> _Cursor:
    try:
        cursor = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Cursor)
        checked_name(cursor.blob)
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        message = "'after' is no cursor of this list: pass on one that it gave you, or none to begin at the beginning."
        raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param="after") from error
    return cursor
