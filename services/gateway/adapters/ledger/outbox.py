"""The outbox in Valkey: a stream per tenant, written by the ledger's and the accounts' functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from libs.valkey import Valkey
from services.gateway.adapters.accounts.layout import TENANTS
from services.gateway.adapters.ledger.library import LEDGER, prefix_of
from services.gateway.domain.accounts.records import PLATFORM
from services.gateway.domain.ledger.types import OutboxEntry, UsageMeta

_SUM_BATCH = 1000
_meta = msgspec.msgpack.Decoder(UsageMeta)


class ValkeyOutbox:
    """See ports.Outbox."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def tenants(self) -> Sequence[str]:
        """See ports.Outbox. The platform has one too: changes of prices are in it."""
        found: list[bytes] = await self._valkey.command("ZRANGE", TENANTS, 0, -1)
        return [PLATFORM, *(name.decode() for name in found)]

    async def read(self, tenant: str, after: str, limit: int) -> Sequence[OutboxEntry]:
        """See ports.Outbox."""
        key, start = f"{prefix_of(tenant)}:outbox", f"({after}" if after else "-"
        found = await self._valkey.command("XRANGE", key, start, "+", "COUNT", limit)
        return [entry_of(entry_id.decode(), fields) for entry_id, fields in found]

    async def cursor(self, tenant: str) -> str:
        """See ports.Outbox."""
        found: bytes | None = await self._valkey.command("GET", f"{prefix_of(tenant)}:published")
        return found.decode() if found else ""

    async def advance(self, tenant: str, upto: str, *, trim: bool) -> None:
        """See ports.Outbox. What is trimmed is in the sums by day."""
        while trim and await self._valkey.call(LEDGER, "sum", [prefix_of(tenant)], [_SUM_BATCH]):
            pass
        await self._valkey.call(LEDGER, "advance", [prefix_of(tenant)], [upto, int(trim)])

    async def lease(self, tenant: str, holder: str, seconds: float) -> bool:
        """See ports.Outbox."""
        milliseconds = int(seconds * 1000)
        return bool(await self._valkey.call(LEDGER, "lease", [prefix_of(tenant)], [holder, milliseconds]))


def entry_of(entry_id: str, fields: dict[bytes, bytes]) -> OutboxEntry:
    """An entry as its function wrote it."""
    kind, request_id, sequence, at_us, *numbers, windows = msgspec.msgpack.decode(fields[b"e"])
    cost, platform, prompt, cached, completion, reasoning = numbers
    packed = fields.get(b"m")
    return OutboxEntry(
        id=entry_id,
        kind=_text(kind),
        request_id=_text(request_id),
        sequence=sequence,
        at_us=at_us,
        cost=cost,
        platform=platform,
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=completion,
        reasoning_tokens=reasoning,
        meta=_meta.decode(packed) if packed else None,
        windows={_text(scope): _starts(starts) for scope, starts in _map(windows).items()},
        account=fields.get(b"a", b""),
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _map(value: Any) -> dict[Any, Any]:
    """Lua has one empty table, which packs as an empty array."""
    return value if isinstance(value, dict) else {}


def _starts(value: Any) -> dict[str, int]:
    return {_text(duration): start for duration, start in _map(value).items()}
