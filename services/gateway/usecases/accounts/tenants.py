"""Tenants: made, changed, blocked, deleted."""

from __future__ import annotations

from collections.abc import Sequence

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.ids import check_id
from services.gateway.domain.accounts.records import Key, Kind, Tenant, User
from services.gateway.domain.accounts.specs import TenantSpec, applied
from services.gateway.domain.turns import Principal
from services.gateway.ports.accounts import AccountStore
from services.gateway.usecases.accounts.changes import TRIES_MAX, Changes, blocked, unblocked


class Tenants:
    """Use cases on tenants. None of them asks whether the actor may: that is decided before."""

    def __init__(self, store: AccountStore, changes: Changes, clock: Clock) -> None:
        self._store = store
        self._changes = changes
        self._clock = clock

    async def create(self, tenant: str, spec: TenantSpec, actor: Principal) -> Tenant:
        """A tenant without users and keys. Raises INVALID_REQUEST, or CONFLICT where the id is taken."""
        at = self._clock.unix()
        made = applied(Tenant(id=check_id(tenant, "tenant"), created_at=at), spec, at)
        await self._changes.make(Kind.TENANT, tenant, tenant, made, actor)
        return made

    async def get(self, tenant: str) -> Tenant:
        """Raises NOT_FOUND."""
        return await self._changes.get(Tenant, tenant, tenant)

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[Tenant]:
        """Tenants in the order of their ids, those behind `after`."""
        found = await self._store.list(Kind.TENANT, "", after=after, limit=limit)
        return [record for record in found if isinstance(record, Tenant)]

    async def update(self, tenant: str, spec: TenantSpec, actor: Principal) -> Tenant:
        """The tenant with what the spec says. Raises NOT_FOUND, INVALID_REQUEST, CONFLICT."""
        at = self._clock.unix()
        return await self._changes.edit(Tenant, tenant, tenant, actor, lambda before: applied(before, spec, at))

    async def block(self, tenant: str, actor: Principal) -> Tenant:
        """Refuses everything of the tenant until `unblock`. A repeat does nothing. Raises NOT_FOUND."""
        return await self._changes.edit(Tenant, tenant, tenant, actor, blocked)

    async def unblock(self, tenant: str, actor: Principal) -> Tenant:
        """Ends `block`. A repeat does nothing. Raises NOT_FOUND."""
        return await self._changes.edit(Tenant, tenant, tenant, actor, unblocked)

    async def delete(self, tenant: str, actor: Principal) -> None:
        """Deletes the tenant with all its keys and users; what was spent stays in the ledger and in usage.

        The tenant is blocked first, so that nothing of it works from the first moment on, even if this is cut short;
        a repeat goes on where it stopped. Raises NOT_FOUND, or CONFLICT while others keep adding to the tenant.
        """
        for _ in range(TRIES_MAX):
            found = await self.block(tenant, actor)
            async for key in self._changes.every(Key, tenant):
                await self._changes.drop(key, actor)
            async for user in self._changes.every(User, tenant):
                await self._changes.drop(user, actor)
            if await self._changes.drop(found, actor):
                return
        raise still_used(f"Tenant {tenant}")


def still_used(what: str) -> PlatformError:
    """The 409 for a deletion that others keep overtaking."""
    message = f"{what} is blocked, but others keep changing what belongs to it. Repeat the deletion."
    return PlatformError(Reason.CONFLICT, message, started=False)
