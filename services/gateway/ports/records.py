"""Request records: the redactor that texts go through, the index that finds them, and what watches the writing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is: `length` bytes of a blob from `offset` on."""

    blob: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index keeps of one record."""

    request_id: str
    key: str
    user: str
    place: Place


@dataclass(frozen=True, slots=True)
class Batch:
    """One blob of a tenant, named by `domain.request_batch.blob_name`."""

    tenant: str
    blob: str
    entries: Sequence[Entry]


class Redactor(Protocol):
    """Takes personal data and secrets out of text."""

    def redact(self, text: str) -> Iterator[str]:
        """The text without them, in pieces that join to it. Each piece is a small amount of work, so that others can
        have their turn in between.
        """
        ...


class RecordIndex(Protocol):
    """Finds records. Every method raises PlatformError(STORE_UNAVAILABLE)."""

    async def add(self, batch: Batch, keep_seconds: int) -> None:
        """Makes a written blob's records found, for so long. A repeat changes nothing."""
        ...

    async def find(self, tenant: str, request_id: str) -> Place | None:
        """Where a tenant's record is."""
        ...

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
        """Names of blobs that have records of the tenant, or of its key or user, in order or in reverse.

        Those behind `first` and before `end`; both are names, or beginnings of names.
        """
        ...


class RecordWatch(Protocol):
    """Counts what became of records. Must be quick; never raises."""

    def written(self, records: int, size: int) -> None:
        """So many are in a blob of that size, and in the index."""
        ...

    def lost(self, what: str, count: int = 1) -> None:
        """`what`: "text" (the numbers are kept) or "record"."""
        ...

    def failed(self, why: str) -> None:
        """Writing failed and is tried again."""
        ...

    def purged(self, blobs: int) -> None:
        """So many are past their days and deleted."""
        ...
