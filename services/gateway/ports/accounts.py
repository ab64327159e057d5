"""Accounts: where tenants, users, keys and prices are kept, who changed them, and what was spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.gateway.domain.accounts.audit import AuditEntry
from services.gateway.domain.accounts.records import Change, Key, Kind, Price, Record
from services.gateway.domain.accounts.spend import Dimension, ScopeSpend, SpendRow


class AccountStore(Protocol):
    """The one place of account records, for all gateways. Every method raises PlatformError(STORE_UNAVAILABLE)."""

    async def get(self, kind: Kind, tenant: str, record_id: str) -> Record | None:
        """One record, None where there is none."""
        ...

    async def find_key(self, hmac: str) -> Key | None:
        """The key with that HMAC as its present or previous one; whether it counts is the caller's to decide."""
        ...

    async def list(self, kind: Kind, tenant: str, *, after: str = "", limit: int = 100) -> Sequence[Record]:
        """Records in the order of their ids, those behind `after`. For Kind.TENANT, `tenant` is not read."""
        ...

    async def change(self, change: Change) -> None:
        """Stores, audits, publishes and puts limits into force, all or nothing.

        Raises CONFLICT when the stored record is not `before` (any more). A repeat is such a conflict.
        """
        ...

    async def version(self) -> int:
        """Grows with every change of any record: what was remembered under a smaller one is stale."""
        ...


class KeyDirectory(Protocol):
    """Where a key is, when its id is all that is known."""

    async def tenant_of(self, key_id: str) -> str:
        """The tenant of the key of that id, "" where there is no such key. Raises STORE_UNAVAILABLE."""
        ...


class PriceBook(Protocol):
    """What models cost, in memory: the stored prices, and for models without one those of the settings."""

    def find(self, *names: str) -> Price | None:
        """The price of the first name that has one, None where none has. Never blocks.

        Raises STORE_UNAVAILABLE while stored prices were never read: a missing price would be a guess.
        """
        ...


class AuditLog(Protocol):
    """Who changed what."""

    async def read(self, tenant: str, *, after: str = "", limit: int = 100) -> Sequence[AuditEntry]:
        """Entries of a tenant, newest first, those older than `after`. Raises STORE_UNAVAILABLE."""
        ...


class Spend(Protocol):
    """What was spent, up to the last settled request. Raises STORE_UNAVAILABLE."""

    async def of_scopes(self, tenant: str, scopes: Sequence[str]) -> Sequence[ScopeSpend]:
        """Spent, held and what each budget has left, for scopes such as "t", "u:ada", "k:key_1", "s:root-session"."""
        ...

    async def by(self, tenant: str, dimension: Dimension, first_day: str, last_day: str) -> Sequence[SpendRow]:
        """Sums per day and value of the dimension; days are "2026-01-31", UTC, both included."""
        ...
