"""What records say that requests cost, for audits: read from the blobs alone, so that no index need be there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from libs.blobs import Blobs
from services.gateway.domain.request_batch import folder
from services.gateway.usecases.records.reader import lines_of

_NAMES_AT_ONCE = 1000


class _Cost(msgspec.Struct):
    """The part of a record that counts here."""

    id: str
    cost_nanodollars: int = 0


_decoder = msgspec.json.Decoder(_Cost)


class RecordCosts:
    """See ports.usage.RecordedCosts."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def read(self, tenant: str) -> AsyncIterator[tuple[str, int]]:
        """See RecordedCosts. Raises STORE_UNAVAILABLE."""
        after = ""
        while names := await self._blobs.list(folder(tenant), after=after, limit=_NAMES_AT_ONCE):
            for name in names:
                for line in await lines_of(self._blobs, name):
                    record = _decoder.decode(line)
                    yield record.id, record.cost_nanodollars
            after = names[-1]
