"""Tenants, as far as the actor may."""

from __future__ import annotations

from dataclasses import dataclass

from libs.errors import PlatformError, Reason
from services.gateway.api.accounts.desk.pages import Slice, page_of
from services.gateway.api.accounts.desk.rules import Rules
from services.gateway.domain.accounts.access import Action, Relation, Target, allowed
from services.gateway.domain.accounts.records import PLATFORM, Role, Tenant
from services.gateway.domain.turns import Principal
from services.gateway.usecases.accounts import TenantSpec


@dataclass(frozen=True, slots=True)
class TenantDesk:
    """Every method raises NOT_FOUND, PERMISSION_DENIED, INVALID_REQUEST, CONFLICT or STORE_UNAVAILABLE."""

    rules: Rules

    async def create(self, actor: Principal, tenant: str, spec: TenantSpec) -> Tenant:
        """See Tenants.create."""
        self.rules.require(actor, Action.TENANT_CREATE, Target(PLATFORM))
        return await self.rules.accounts.tenants.create(tenant, spec, actor)

    async def get(self, actor: Principal, tenant: str = "") -> Tenant:
        """One tenant, "" = the actor's own."""
        return await self.find(actor, Action.TENANT_READ, tenant)

    async def list(self, actor: Principal, *, after: str = "", limit: int = 100) -> Slice[Tenant]:
        """All that the actor may see."""
        if actor.role is Role.ADMIN:
            tenants = self.rules.accounts.tenants
            return await page_of(
                lambda after, limit: tenants.list(after=after, limit=limit), _id, after=after, limit=limit
            )
        own = [await self.get(actor)] if allowed(actor.role, Action.TENANT_READ, Relation.OWN_TENANT) else []
        return Slice([tenant for tenant in own if tenant.id > after])

    async def update(self, actor: Principal, tenant: str, spec: TenantSpec) -> Tenant:
        """See Tenants.update."""
        return await self.rules.accounts.tenants.update(self._at(actor, Action.TENANT_UPDATE, tenant), spec, actor)

    async def block(self, actor: Principal, tenant: str) -> Tenant:
        """See Tenants.block. Raises CONFLICT for the actor's own."""
        return await self.rules.accounts.tenants.block(self._other(actor, Action.TENANT_BLOCK, tenant), actor)

    async def unblock(self, actor: Principal, tenant: str) -> Tenant:
        """See Tenants.unblock."""
        return await self.rules.accounts.tenants.unblock(self._at(actor, Action.TENANT_UNBLOCK, tenant), actor)

    async def delete(self, actor: Principal, tenant: str) -> None:
        """See Tenants.delete. Raises CONFLICT for the actor's own."""
        await self.rules.accounts.tenants.delete(self._other(actor, Action.TENANT_DELETE, tenant), actor)

    async def find(self, actor: Principal, action: Action, tenant: str) -> Tenant:
        """The tenant, when the actor may do that to it."""
        return await self.rules.accounts.tenants.get(self._at(actor, action, tenant))

    def _other(self, actor: Principal, action: Action, tenant: str) -> str:
        """As `_at`. The installation's tenant has its admin keys: blocked with it, nobody could ever unblock it."""
        found = self._at(actor, action, tenant)
        if found == actor.tenant:
            message = (
                f"The key that asks for this is of the tenant {found!r} and would stop with it: nobody might be left "
                "to undo it. Use an admin's key of another tenant."
            )
            raise PlatformError(Reason.CONFLICT, message, started=False, param="tenant")
        return found

    def _at(self, actor: Principal, action: Action, tenant: str) -> str:
        found = self.rules.tenant(actor, action, tenant)
        self.rules.require(actor, action, Target(found))
        return found


def _id(tenant: Tenant) -> str:
    return tenant.id
