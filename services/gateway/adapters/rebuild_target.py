"""The store that a rebuild fills."""

from __future__ import annotations

from collections.abc import Sequence

from libs.valkey import Valkey
from services.gateway.adapters.accounts.valkey import ValkeyAccounts
from services.gateway.adapters.ledger.replay import LedgerReplay
from services.gateway.domain.accounts.records import Change
from services.gateway.domain.ledger.types import OutboxEntry, ScopeTotals

_SCANNED = 1_000


class StoreTarget:
    """Implements ports.RebuildTarget."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._accounts, self._ledger = ValkeyAccounts(valkey), LedgerReplay(valkey)

    async def is_empty(self) -> bool:
        """See ports.RebuildTarget. Bindings, sessions and the like may be there: they are no part of a rebuild."""
        return not (await self._any("hr:ledger:{*") or await self._any("hr:accounts:{*"))

    async def change(self, change: Change) -> None:
        """See ports.RebuildTarget."""
        await self._accounts.change(change)

    async def apply(self, tenant: str, entries: Sequence[OutboxEntry]) -> None:
        """See ports.RebuildTarget."""
        await self._ledger.apply(tenant, entries)

    async def finish(self, tenant: str) -> dict[str, ScopeTotals]:
        """See ports.RebuildTarget."""
        await self._ledger.sums(tenant)
        return await self._ledger.dump(tenant)

    async def _any(self, pattern: str) -> bool:
        cursor, found = await self._valkey.command("SCAN", 0, "MATCH", pattern, "COUNT", _SCANNED)
        while int(cursor) and not found:
            cursor, found = await self._valkey.command("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED)
        return bool(found)
