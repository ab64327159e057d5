"""Read, change, write: records change one at a time, and a change that was overtaken begins again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import msgspec

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.checks import check_record
from services.gateway.domain.accounts.records import Change, Key, Kind, Price, Record, Tenant, User
from services.gateway.domain.turns import Principal
from services.gateway.ports.accounts import AccountStore

# Each lost race means that another's change went through, so a few are enough unless many fight for one record.
TRIES_MAX = 8
PAGE = 500
R = TypeVar("R", bound=Tenant | User | Key)
_CLASSES: dict[type, Kind] = {Tenant: Kind.TENANT, User: Kind.USER, Key: Kind.KEY}


class Changes:
    """The one way in which use cases write. `actor` is who asked: its key's id is what the audit log keeps."""

    def __init__(self, store: AccountStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def get(self, kind: type[R], tenant: str, record_id: str) -> R:
        """The record; raises NOT_FOUND."""
        found = await self._store.get(_CLASSES[kind], tenant, record_id)
        if not isinstance(found, kind):
            raise not_found(_CLASSES[kind], record_id)
        return found

    async def make(self, kind: Kind, tenant: str, record_id: str, record: Record, actor: Principal) -> None:
        """Stores a record of an id that is free; raises CONFLICT where it is not."""
        check_record(record)
        await self._write(kind, tenant, record_id, actor, None, record)

    async def edit(self, kind: type[R], tenant: str, record_id: str, actor: Principal, edit: Callable[[R], R]) -> R:
        """Stores what `edit` makes of the record and returns it; `edit` is called again where another was faster.

        Raises NOT_FOUND, what `edit` raises, INVALID_REQUEST, or CONFLICT when the race was lost again and again.
        """
        for tries_left in reversed(range(TRIES_MAX)):
            before = await self.get(kind, tenant, record_id)
            after = edit(before)
            if after == before:
                return before
            check_record(after)
            try:
                await self._write(_CLASSES[kind], tenant, record_id, actor, before, after)
            except PlatformError as problem:
                if problem.reason is not Reason.CONFLICT or not tries_left:
                    raise
            else:
                return after
        raise AssertionError  # the last try returned or raised

    async def put_price(self, before: Price | None, after: Price | None, actor: Principal) -> None:
        """Stores, replaces or (after = None) deletes a price; raises CONFLICT when `before` is not what is stored."""
        named = after or before
        if named is None:
            return
        if after is not None:
            check_record(after)
        await self._write(Kind.PRICE, "", named.model, actor, before, after)

    async def drop(self, record: Tenant | User | Key, actor: Principal) -> bool:
        """Deletes a record; False when it has changed meanwhile (or is gone)."""
        kind = _CLASSES[type(record)]
        try:
            await self._write(kind, tenant_of(record), record.id, actor, record, None)
        except PlatformError as problem:
            if problem.reason is not Reason.CONFLICT:
                raise
            return False
        return True

    async def every(self, kind: type[R], tenant: str) -> AsyncIterator[R]:
        """All records of a kind in a tenant, page by page."""
        after = ""
        while page := await self._store.list(_CLASSES[kind], tenant, after=after, limit=PAGE):
            for record in page:
                if isinstance(record, kind):
                    yield record
            after = id_of(page[-1])

    async def _write(
        self, kind: Kind, tenant: str, record_id: str, actor: Principal, before: Record | None, after: Record | None
    ) -> None:
        change = Change(
            kind=kind,
            tenant=tenant,
            id=record_id,
            actor=actor.key_id,
            at=self._clock.unix(),
            before=before,
            after=after,
        )
        await self._store.change(change)


def blocked(record: R) -> R:
    """The record, refusing everything."""
    return msgspec.structs.replace(record, blocked=True)


def unblocked(record: R) -> R:
    """The record, in use again."""
    return msgspec.structs.replace(record, blocked=False)


def tenant_of(record: Tenant | User | Key) -> str:
    """The tenant that a record belongs to; a tenant belongs to itself."""
    return record.id if isinstance(record, Tenant) else record.tenant


def id_of(record: Record) -> str:
    """The id that a list is sorted by."""
    return record.model if isinstance(record, Price) else record.id


def not_found(kind: Kind, record_id: str) -> PlatformError:
    """The 404 for a record; also what a caller hears of others' records."""
    message = f"There is no {kind.value} {record_id[:64]!r}. Check the id; ids are case-sensitive."
    return PlatformError(Reason.NOT_FOUND, message, started=False)


def no_such_text() -> PlatformError:
    """The 404 for a key that was named by its text, which it does not repeat."""
    return PlatformError(
        Reason.NOT_FOUND, "There is no key with that text. Check it, or name the key by its id.", started=False
    )
