"""Users of a tenant: made, changed, blocked, deleted."""

from __future__ import annotations

from collections.abc import Sequence

from libs.clock import Clock
from services.gateway.domain.accounts.ids import check_id
from services.gateway.domain.accounts.records import Key, Kind, User
from services.gateway.domain.accounts.specs import UserSpec, applied
from services.gateway.domain.turns import Principal
from services.gateway.ports.accounts import AccountStore
from services.gateway.usecases.accounts.changes import TRIES_MAX, Changes, blocked, unblocked
from services.gateway.usecases.accounts.tenants import still_used


class Users:
    """Use cases on users. None of them asks whether the actor may: that is decided before."""

    def __init__(self, store: AccountStore, changes: Changes, clock: Clock) -> None:
        self._store = store
        self._changes = changes
        self._clock = clock

    async def create(self, tenant: str, user: str, spec: UserSpec, actor: Principal) -> User:
        """A user without keys. Raises INVALID_REQUEST, or CONFLICT where the id is taken or the tenant is missing."""
        at = self._clock.unix()
        made = applied(User(tenant=check_id(tenant, "tenant"), id=check_id(user, "user"), created_at=at), spec, at)
        await self._changes.make(Kind.USER, tenant, user, made, actor)
        return made

    async def get(self, tenant: str, user: str) -> User:
        """Raises NOT_FOUND."""
        return await self._changes.get(User, tenant, user)

    async def list(self, tenant: str, *, after: str = "", limit: int = 100) -> Sequence[User]:
        """Users of the tenant in the order of their ids, those behind `after`."""
        found = await self._store.list(Kind.USER, tenant, after=after, limit=limit)
        return [record for record in found if isinstance(record, User)]

    async def update(self, tenant: str, user: str, spec: UserSpec, actor: Principal) -> User:
        """The user with what the spec says. Raises NOT_FOUND, INVALID_REQUEST, CONFLICT."""
        at = self._clock.unix()
        return await self._changes.edit(User, tenant, user, actor, lambda before: applied(before, spec, at))

    async def block(self, tenant: str, user: str, actor: Principal) -> User:
        """Refuses everything of the user's keys until `unblock`. A repeat does nothing. Raises NOT_FOUND."""
        return await self._changes.edit(User, tenant, user, actor, blocked)

    async def unblock(self, tenant: str, user: str, actor: Principal) -> User:
        """Ends `block`. A repeat does nothing. Raises NOT_FOUND."""
        return await self._changes.edit(User, tenant, user, actor, unblocked)

    async def delete(self, tenant: str, user: str, actor: Principal) -> None:
        """Deletes the user with all its keys, blocked first as a tenant is. Raises NOT_FOUND, CONFLICT."""
        for _ in range(TRIES_MAX):
            found = await self.block(tenant, user, actor)
            async for key in self._changes.every(Key, tenant):
                if key.user == user:
                    await self._changes.drop(key, actor)
            if await self._changes.drop(found, actor):
                return
        raise still_used(f"User {user}")
