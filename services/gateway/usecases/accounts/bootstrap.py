"""The keys with which an installation begins: brought from the keys file into the store, and taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.ids import check_id
from services.gateway.domain.accounts.records import Key, Kind, Role, Tenant
from services.gateway.domain.auth import KeyRecord
from services.gateway.domain.turns import Principal
from services.gateway.ports.accounts import AccountStore
from services.gateway.usecases.accounts.changes import Changes

# Who changes accounts when nobody asked for it but the installation itself.
INSTALL = Principal("_platform", "install", role=Role.ADMIN)
ANONYMOUS = KeyRecord("anonymous", "anonymous", "", "", "callers without a key")
Report = Callable[[str, PlatformError], None]
SOURCE = "all"


class KeySource(Protocol):
    """Where keys are declared."""

    def changed(self) -> bool:
        """Whether `read` may give other keys than last time. Never raises."""
        ...

    def read(self) -> Sequence[KeyRecord]:
        """The declared keys. Raises PlatformError."""
        ...


@dataclass(frozen=True, slots=True)
class Declared:
    """Keys that are declared once and for all."""

    records: tuple[KeyRecord, ...]

    def changed(self) -> bool:
        """See KeySource."""
        return False

    def read(self) -> Sequence[KeyRecord]:
        """See KeySource."""
        return self.records


class KeysImport:
    """A Follower: whatever happened to the store, the declared keys are in it again afterwards.

    A key that the store does not know is made, with its tenant where that is missing. What the store knows is left as
    it is: there it may have been renamed, limited, rotated or blocked. A deleted one is never made again, because the
    store keeps the ids of deleted keys. A key that is declared revoked, or that was declared and is no longer, is
    deleted. `report` hears, once, of a record that cannot be imported and why ("all" = none can); the others are.
    """

    def __init__(self, source: KeySource, store: AccountStore, clock: Clock, report: Report) -> None:
        self._source = source
        self._store = store
        self._changes = Changes(store, clock)
        self._clock = clock
        self._report = report
        self._declared: dict[str, KeyRecord] = {}
        self._reported: dict[str, str] = {}

    async def changed(self) -> None:
        """See Follower."""
        records = self._read()
        vanished = [record for key_id, record in self._declared.items() if key_id not in records]
        for record in vanished:
            await self._take_back(record)
        for record in records.values():
            await self._import(record)
        self._declared = records

    async def look(self) -> None:
        """To be called often: imports when the source has changed. Raises PlatformError; then it is done again."""
        if self._source.changed():
            await self.changed()

    def outdated(self) -> None:
        """See Follower."""

    def _read(self) -> dict[str, KeyRecord]:
        """A source that cannot be read changes nothing: a half-written edit must not lock anybody out."""
        try:
            found = {record.id: record for record in self._source.read()}
        except PlatformError as problem:
            self._say(SOURCE, problem)
            return self._declared
        self._reported.pop(SOURCE, None)
        return found

    async def _import(self, record: KeyRecord) -> None:
        try:
            if record.revoked:
                await self._take_back(record)
            elif await self._store.get(Kind.KEY, record.tenant, record.id) is None:
                await self._make(record)
        except PlatformError as problem:
            if problem.reason is Reason.STORE_UNAVAILABLE:
                raise
            self._say(record.id[:64], problem)

    async def _make(self, record: KeyRecord) -> None:
        """The key is tried first: that of a deleted tenant was deleted with it, and must not bring the tenant back."""
        at = self._clock.unix()
        key = Key(
            tenant=check_id(record.tenant, "tenant"),
            id=record.id,
            hmac=record.hmac_hex,
            name=record.name,
            role=record.role,
            created_at=_unix(record.created, at),
        )
        if await self._missing(key) == "tenant":
            await self._missing(Tenant(id=record.tenant, created_at=at))
            await self._missing(key)

    async def _missing(self, record: Tenant | Key) -> str:
        """Makes the record; what it needs and is not there, else "".

        Other conflicts mean that another gateway was faster, or that the key was deleted for good: both are well.
        """
        kind, tenant = (Kind.KEY, record.tenant) if isinstance(record, Key) else (Kind.TENANT, record.id)
        try:
            await self._changes.make(kind, tenant, record.id, record, INSTALL)
        except PlatformError as problem:
            if problem.reason is not Reason.CONFLICT:
                raise
            return problem.param or ""
        return ""

    async def _take_back(self, record: KeyRecord) -> None:
        while isinstance(key := await self._store.get(Kind.KEY, record.tenant, record.id), Key):
            await self._changes.drop(key, INSTALL)

    def _say(self, name: str, problem: PlatformError) -> None:
        """Once: the source is read again and again."""
        if self._reported.get(name) != problem.message:
            self._reported[name] = problem.message
            self._report(name, problem)


def _unix(created: str, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(created).timestamp()
    except ValueError:
        return otherwise
