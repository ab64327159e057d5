"""From an outbox or the usage topic back to a ledger, and all that a ledger holds, for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from libs.money import NANODOLLARS_PER_DOLLAR
from libs.valkey import Valkey
from services.gateway.adapters.ledger.library import LEDGER, prefix_of
from services.gateway.domain.ledger.types import OutboxEntry, ScopeTotals


class LedgerReplay:
    """Applies entries to a store. Entries of accounts are not its business: it passes them over."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def apply(self, tenant: str, entries: Sequence[OutboxEntry]) -> None:
        """Adds what the entries say, each once whatever the number of times it comes. Raises STORE_UNAVAILABLE."""
        for entry in entries:
            if entry.kind != "account":
                await self._valkey.call(LEDGER, "replay", [prefix_of(tenant)], [_packed(entry), _meta(entry)])

    async def dump(self, tenant: str) -> dict[str, ScopeTotals]:
        """Every scope of the tenant that has a state."""
        found = msgspec.msgpack.decode(await self._valkey.call(LEDGER, "dump", [prefix_of(tenant)], []))
        return {name: _totals(*rest) for name, *rest in found}

    async def sums(self, tenant: str, batch: int = 1000) -> None:
        """Brings the sums by day up to date."""
        while await self._valkey.call(LEDGER, "sum", [prefix_of(tenant)], [batch]):
            pass


def _totals(dollars: int, rest: int, held: int, running: int, windows: Any) -> ScopeTotals:
    spent = dollars * NANODOLLARS_PER_DOLLAR + rest
    by_duration = windows if isinstance(windows, dict) else {}
    return ScopeTotals(spent, held, running, {name: tuple(window) for name, window in by_duration.items()})


def _packed(entry: OutboxEntry) -> bytes:
    return msgspec.msgpack.encode(
        [
            *(entry.kind, entry.request_id, entry.sequence, entry.at_us, entry.cost, entry.platform),
            *(entry.prompt_tokens, entry.cached_tokens, entry.completion_tokens, entry.reasoning_tokens),
            entry.windows,
        ]
    )


def _meta(entry: OutboxEntry) -> bytes:
    return msgspec.msgpack.encode(entry.meta) if entry.meta is not None else b""
