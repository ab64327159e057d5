"""The usage log that leaves the ledger, what watches its publishing, and a store that is filled from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from services.gateway.domain.accounts.records import Change
from services.gateway.domain.ledger.types import OutboxEntry, ScopeTotals

# An entry with the tenant whose outbox it comes from.
TenantEntry = tuple[str, OutboxEntry]


class UsageLog(Protocol):
    """What the ledger decided, for everybody who wants to know. Delivered at least once: drop what is seen again."""

    async def append(self, entries: Sequence[TenantEntry]) -> None:
        """Returns when the log has acknowledged all of them, in order per tenant.

        Raises libs.kafka.KafkaError; any part may be in the log then, and a repeat of all keeps the order in which
        entries are first seen.
        """
        ...


class UsageHistory(Protocol):
    """Entries from the beginning: those of the usage log, or of the outboxes of a store."""

    def read(self) -> AsyncIterator[Sequence[TenantEntry]]:
        """Batches, in order per tenant; entries may repeat. Raises KafkaError or PlatformError."""
        ...


class RelayWatch(Protocol):
    """Learns how publishing goes. Must be quick; never raises."""

    def looked(self) -> None:
        """The store answered."""
        ...

    def published(self, entries: int) -> None:
        """The log acknowledged so many entries."""
        ...

    def failed(self, cause: str, why: str) -> None:
        """A try failed. `cause`: "broker" (away), "access" (will not have us), "record" (not as it is), "store"."""
        ...


class Identities(Protocol):
    """A set that may be larger than memory."""

    def first(self, identity: bytes) -> bool:
        """True for an identity that was not asked for before."""
        ...


class RebuildTarget(Protocol):
    """A store that is filled from a usage log. Raises STORE_UNAVAILABLE."""

    async def is_empty(self) -> bool:
        """Whether it holds nothing of accounts and ledger."""
        ...

    async def change(self, change: Change) -> None:
        """Makes a change of accounts again. Raises CONFLICT where the record is not what it was then."""
        ...

    async def apply(self, tenant: str, entries: Sequence[OutboxEntry]) -> None:
        """Adds the cost of calls, each entry once whatever the number of times it comes."""
        ...

    async def finish(self, tenant: str) -> dict[str, ScopeTotals]:
        """Brings the sums by day up to date; returns all scopes."""
        ...


class LedgerTotals(Protocol):
    """What the ledger says. Raises STORE_UNAVAILABLE."""

    async def dump(self, tenant: str) -> dict[str, ScopeTotals]:
        """Every scope of a tenant that has a state."""
        ...


class RecordedCosts(Protocol):
    """What request records say. Raises STORE_UNAVAILABLE."""

    def read(self, tenant: str) -> AsyncIterator[tuple[str, int]]:
        """Request id and cost in nano-dollars of every record of a tenant."""
        ...


class AuditStore(Identities, Protocol):
    """What an audit has seen; may be larger than memory."""

    def add(self, tenant: str, request_id: str, cost: int) -> None:
        """Adds to what a request was charged."""
        ...

    def cost(self, tenant: str, request_id: str) -> int | None:
        """What a request was charged in all; None where nothing was added."""
        ...


class AuditMemory(Protocol):
    """Where an audit keeps what it has seen."""

    def open(self) -> AbstractContextManager[AuditStore]:
        """An empty store, gone with its context."""
        ...
