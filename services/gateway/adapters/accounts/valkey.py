"""Accounts in Valkey. A change is three calls; whatever is cut off between them leaves nothing wrong (functions.py)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from libs.errors import PlatformError, Reason
from libs.valkey import Valkey
from services.gateway.adapters.accounts import layout
from services.gateway.adapters.accounts.conflicts import conflict
from services.gateway.adapters.accounts.functions import ACCOUNTS, UNENDED_MS
from services.gateway.domain.accounts.audit import AuditEntry, check_cursor
from services.gateway.domain.accounts.codec import (
    decode_audit,
    decode_record,
    encode_audit,
    encode_change,
    encode_record,
)
from services.gateway.domain.accounts.records import Change, Key, Kind, Price, Record
from services.gateway.domain.ledger.limits import scope_limits


class ValkeyAccounts:
    """See ports.AccountStore, ports.AuditLog and ports.KeyDirectory."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def get(self, kind: Kind, tenant: str, record_id: str) -> Record | None:
        """See AccountStore."""
        name = layout.field(kind, record_id)
        stored = await self._valkey.command("HGET", layout.records(layout.owner_of(kind, tenant)), name)
        return None if stored is None else _decoded(kind, record_id, stored)

    async def find_key(self, hmac: str) -> Key | None:
        """See AccountStore."""
        target = await self._valkey.command("HGET", layout.INDEX, hmac)
        tenant, found, key_id = (target or b"").decode().partition("/")
        key = await self.get(Kind.KEY, tenant, key_id) if found else None
        return key if isinstance(key, Key) and hmac in (key.hmac, key.previous_hmac) else None

    async def tenant_of(self, key_id: str) -> str:
        """See KeyDirectory."""
        tenant = await self._valkey.command("HGET", layout.INDEX, layout.key_name(key_id))
        return "" if tenant is None else tenant.decode()

    async def list(self, kind: Kind, tenant: str, *, after: str = "", limit: int = 100) -> Sequence[Record]:
        """See AccountStore."""
        found: list[Record] = []
        sorted_ids = layout.listing(kind, layout.owner_of(kind, tenant))
        while limit > len(found):
            first, wanted = f"({after}" if after else "-", limit - len(found)
            names = await self._valkey.command("ZRANGEBYLEX", sorted_ids, first, "+", "LIMIT", 0, wanted)
            ids = [name.decode() for name in names]
            found += await self._of(kind, tenant, ids)
            if len(ids) < wanted:
                break
            after = ids[-1]
        return found

    async def change(self, change: Change) -> None:
        """See AccountStore."""
        stored = await self._stored(change)
        if (None if stored is None else _decoded(change.kind, change.id, stored)) != change.before:
            raise conflict(change, "changed")
        change_id, entries = _identity(change), layout.index_entries(change)
        listed = change.id if change.kind is Kind.TENANT and change.after is not None else ""
        await self._global("begun", [layout.CHANGING, layout.INDEX, layout.TENANTS], change_id, listed, entries.put)
        why = await self._valkey.call(
            ACCOUNTS, "change", layout.change_keys(change), _arguments(change, change_id, stored or b"")
        )
        if why != b"ok":
            # Index entries stay: they may be those of a change like this one that went through.
            await self._end(change_id, {})
            raise conflict(change, why.decode())
        await self._end(change_id, entries.drop)

    async def version(self) -> int:
        """See AccountStore."""
        keys = [layout.CHANGING, layout.VERSION]
        return int(await self._valkey.call(ACCOUNTS, "version", keys, [UNENDED_MS]))

    async def read(self, tenant: str, *, after: str = "", limit: int = 100) -> Sequence[AuditEntry]:
        """See AuditLog."""
        newest = f"({check_cursor(after)}" if after else "+"
        entries = await self._valkey.command("XREVRANGE", layout.audit(tenant), newest, "-", "COUNT", limit)
        return [decode_audit(entry_id.decode(), fields[b"c"]) for entry_id, fields in entries]

    async def _of(self, kind: Kind, tenant: str, ids: Sequence[str]) -> Sequence[Record]:
        if not ids:
            return []
        if kind is Kind.TENANT:
            return [record for each in ids if (record := await self.get(kind, each, each)) is not None]
        names = [layout.field(kind, each) for each in ids]
        stored = await self._valkey.command("HMGET", layout.records(layout.owner_of(kind, tenant)), *names)
        return [_decoded(kind, each, raw) for each, raw in zip(ids, stored, strict=True) if raw is not None]

    async def _stored(self, change: Change) -> bytes | None:
        name = layout.field(change.kind, change.id)
        stored: bytes | None = await self._valkey.command(
            "HGET", layout.records(layout.owner_of(change.kind, change.tenant)), name
        )
        return stored

    async def _global(self, function: str, keys: Sequence[str], *args: Any) -> None:
        *plain, pairs = args
        flat = [each for pair in pairs.items() for each in pair]
        await self._valkey.call(ACCOUNTS, function, keys, [*plain, *flat])

    async def _end(self, change_id: str, drop: dict[str, str]) -> None:
        """The change stands already: a store that goes away here makes it no failure, `version` sees that it began."""
        try:
            await self._global("ended", [layout.CHANGING, layout.INDEX, layout.VERSION], change_id, drop)
        except PlatformError as problem:
            if problem.reason is not Reason.STORE_UNAVAILABLE:
                raise


def _arguments(change: Change, change_id: str, expected: bytes) -> list[Any]:
    value = b"" if change.after is None else encode_record(change.after)
    limits = b"" if change.kind is Kind.PRICE or isinstance(change.after, Price) else scope_limits(change.after)
    return [
        layout.letter(change.kind),
        change.id,
        layout.field(change.kind, change.id),
        change.before.user if isinstance(change.before, Key) else "",
        change.after.user if isinstance(change.after, Key) else "",
        expected,
        value,
        limits,
        encode_audit(change),
        encode_change(change),
        change_id,
    ]


def _identity(change: Change) -> str:
    """The same for the same change, so that a replayed one is known again by its readers."""
    return "acct-" + hashlib.sha256(encode_change(change)).hexdigest()[:24]


def _decoded(kind: Kind, record_id: str, stored: bytes) -> Record:
    try:
        return decode_record(kind, stored)
    except msgspec.DecodeError as problem:
        message = f"The stored {kind.value} {record_id} cannot be read ({problem}). Restore it from the usage topic."
        raise PlatformError(Reason.INTERNAL, message, started=False) from None
