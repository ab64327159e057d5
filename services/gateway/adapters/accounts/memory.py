"""Accounts in memory: the twin of the store's adapter, with the same promises, for tests and benchmarks."""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.adapters.accounts.conflicts import conflict
from services.gateway.domain.accounts.audit import AuditEntry, check_cursor
from services.gateway.domain.accounts.codec import decode_audit, encode_audit
from services.gateway.domain.accounts.records import PLATFORM, Change, Key, Kind, Price, Record, Tenant, User


class MemoryAccounts:
    """See ports.AccountStore, ports.AuditLog and ports.KeyDirectory. With `unavailable` set, every call raises it."""

    def __init__(self, *records: Record) -> None:
        self.records: dict[tuple[Kind, str, str], Record] = {_place_of(record): record for record in records}
        self.changes: list[Change] = []
        self.unavailable: Exception | None = None
        self.reads = 0
        self._gone: set[tuple[str, str]] = set()

    async def get(self, kind: Kind, tenant: str, record_id: str) -> Record | None:
        """See AccountStore."""
        self._reach()
        return self.records.get(_place(kind, tenant, record_id))

    async def find_key(self, hmac: str) -> Key | None:
        """See AccountStore."""
        self._reach()
        return next((key for key in self._keys() if hmac and hmac in (key.hmac, key.previous_hmac)), None)

    async def tenant_of(self, key_id: str) -> str:
        """See KeyDirectory."""
        self._reach()
        return next((key.tenant for key in self._keys() if key.id == key_id), "")

    async def list(self, kind: Kind, tenant: str, *, after: str = "", limit: int = 100) -> Sequence[Record]:
        """See AccountStore."""
        self._reach()
        owner = _place(kind, tenant, "")[1]
        places = sorted(
            place
            for place in self.records
            if place[0] is kind and place[2] > after and (kind is Kind.TENANT or place[1] == owner)
        )
        return [self.records[place] for place in places[:limit]]

    async def change(self, change: Change) -> None:
        """See AccountStore."""
        self._reach()
        place = _place(change.kind, change.tenant, change.id)
        why = "changed" if self.records.get(place) != change.before else self._hindrance(change)
        if why:
            raise conflict(change, why)
        if change.after is None:
            del self.records[place]
            self._gone.add((change.tenant, change.id))
        else:
            self.records[place] = change.after
        self.changes.append(change)

    async def version(self) -> int:
        """See AccountStore."""
        self._reach()
        return len(self.changes)

    async def read(self, tenant: str, *, after: str = "", limit: int = 100) -> Sequence[AuditEntry]:
        """See AuditLog."""
        self._reach()
        numbered = [(n, c) for n, c in enumerate(self.changes, 1) if _place(c.kind, c.tenant, "")[1] == tenant]
        before = int(check_cursor(after).partition("-")[0]) if after else len(self.changes) + 1
        older = [(n, c) for n, c in reversed(numbered) if n < before]
        return [decode_audit(f"{n}-0", encode_audit(c)) for n, c in older[:limit]]

    def _hindrance(self, change: Change) -> str:
        if change.kind is Kind.PRICE:
            return ""
        if change.before is None and (why := self._missing(change)):
            return why
        was, user = (each.user if isinstance(each, Key) else "" for each in (change.before, change.after))
        if user not in {"", was} and (Kind.USER, change.tenant, user) not in self.records:
            return "user"
        return "used" if change.after is None and self._owns(change.before) else ""

    def _owns(self, record: Record | None) -> bool:
        if isinstance(record, Tenant):
            return any(place[1] == record.id and place[0] in (Kind.USER, Kind.KEY) for place in self.records)
        return isinstance(record, User) and any(
            (key.tenant, key.user) == (record.tenant, record.id) for key in self._keys()
        )

    def _missing(self, change: Change) -> str:
        if change.kind is Kind.KEY and (change.tenant, change.id) in self._gone:
            return "gone"
        if change.kind is not Kind.TENANT and (Kind.TENANT, change.tenant, change.tenant) not in self.records:
            return "tenant"
        return ""

    def _keys(self) -> Sequence[Key]:
        return [record for record in self.records.values() if isinstance(record, Key)]

    def _reach(self) -> None:
        self.reads += 1
        if self.unavailable is not None:
            raise self.unavailable


def _place(kind: Kind, tenant: str, record_id: str) -> tuple[Kind, str, str]:
    return kind, PLATFORM if kind is Kind.PRICE else tenant, record_id


def _place_of(record: Record) -> tuple[Kind, str, str]:
    match record:
        case Price():
            return Kind.PRICE, PLATFORM, record.model
        case Tenant():
            return Kind.TENANT, record.id, record.id
        case User():
            return Kind.USER, record.tenant, record.id
    return Kind.KEY, record.tenant, record.id
