"""An outbox in memory, held to the contract of the store's, and what watches a relay."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.gateway.domain.ledger.types import OutboxEntry, UsageMeta


class MemoryOutbox:
    """Implements ports.Outbox; `add` is what the ledger's functions do."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.entries: dict[str, list[OutboxEntry]] = {}
        self.cursors: dict[str, str] = {}
        self.leases: dict[str, tuple[str, float]] = {}
        self.trimmed: list[str] = []
        self.up = True
        self.reads = 0
        self._next = 0

    def add(self, tenant: str, request_id: str, *, sequence: int = 1, kind: str = "settled", cost: int = 1) -> None:
        self._next += 1
        entry = OutboxEntry(
            id=f"{self._next:013d}-0",
            kind=kind,
            request_id=request_id,
            sequence=sequence,
            at_us=int(self._clock.unix() * 1_000_000),
            cost=cost,
            meta=UsageMeta("key", "", "", "m", "", "", {}, 1, 1, 1),
            windows={"t": {}, "k:key": {}},
        )
        self.entries.setdefault(tenant, []).append(entry)

    async def tenants(self) -> Sequence[str]:
        await self._reach()
        return list(self.entries)

    async def read(self, tenant: str, after: str, limit: int) -> Sequence[OutboxEntry]:
        await self._reach()
        self.reads += 1
        return [entry for entry in self.entries.get(tenant, []) if entry.id > after][:limit]

    async def cursor(self, tenant: str) -> str:
        await self._reach()
        return self.cursors.get(tenant, "")

    async def advance(self, tenant: str, upto: str, *, trim: bool) -> None:
        await self._reach()
        self.cursors[tenant] = max(upto, self.cursors.get(tenant, ""))
        if trim:
            gone = [entry for entry in self.entries[tenant] if entry.id <= self.cursors[tenant]]
            self.trimmed += [entry.request_id for entry in gone]
            self.entries[tenant] = self.entries[tenant][len(gone) :]

    async def lease(self, tenant: str, holder: str, seconds: float) -> bool:
        await self._reach()
        owner, until = self.leases.get(tenant, ("", 0.0))
        if owner not in ("", holder) and self._clock.monotonic() < until:
            return False
        self.leases[tenant] = (holder, self._clock.monotonic() + seconds)
        return True

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if not self.up:
            raise PlatformError(Reason.STORE_UNAVAILABLE, "The store does not answer. Retry.", started=False)


class Noted:
    """Implements ports.RelayWatch."""

    def __init__(self) -> None:
        self.count = 0
        self.causes: list[str] = []
        self.looks = 0

    def looked(self) -> None:
        self.looks += 1

    def published(self, entries: int) -> None:
        self.count += entries

    def failed(self, cause: str, why: str) -> None:
        self.causes.append(cause)
