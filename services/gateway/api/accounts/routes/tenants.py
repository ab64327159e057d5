"""`/v1/admin/tenants`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from services.gateway.api.accounts.answers import Deleted, Page, TenantOut
from services.gateway.api.accounts.desk import Desk
from services.gateway.api.accounts.requests import TenantChange, TenantNew
from services.gateway.api.accounts.routes.pages import paged
from services.gateway.domain.turns import Principal

_ALL = "/v1/admin/tenants"
_ONE = "/v1/admin/tenants/{tenant}"


def add_tenants(router: APIRouter, desk: Desk, who: Any) -> None:
    """Adds them."""
    tenants = desk.tenants

    @router.post(_ALL, status_code=201)
    async def create_tenant(new: TenantNew, caller: Principal = who) -> TenantOut:
        """Makes a tenant."""
        return TenantOut.of(await tenants.create(caller, new.id, new.spec()))

    @router.get(_ALL)
    async def list_tenants(after: str = "", limit: int = 100, caller: Principal = who) -> Page[TenantOut]:
        """All tenants that the caller may see, in the order of their ids."""
        return paged(await tenants.list(caller, after=after, limit=limit), TenantOut.of)

    @router.get(_ONE)
    async def get_tenant(tenant: str, caller: Principal = who) -> TenantOut:
        """One tenant."""
        return TenantOut.of(await tenants.get(caller, tenant))

    @router.patch(_ONE)
    async def update_tenant(tenant: str, change: TenantChange, caller: Principal = who) -> TenantOut:
        """Changes what is said, and nothing else."""
        return TenantOut.of(await tenants.update(caller, tenant, change.spec()))

    @router.post(_ONE + "/block")
    async def block_tenant(tenant: str, caller: Principal = who) -> TenantOut:
        """Refuses everything of the tenant, within a second everywhere."""
        return TenantOut.of(await tenants.block(caller, tenant))

    @router.post(_ONE + "/unblock")
    async def unblock_tenant(tenant: str, caller: Principal = who) -> TenantOut:
        """Ends a block."""
        return TenantOut.of(await tenants.unblock(caller, tenant))

    @router.delete(_ONE)
    async def delete_tenant(tenant: str, caller: Principal = who) -> Deleted:
        """Deletes the tenant with its users and keys, for good."""
        await tenants.delete(caller, tenant)
        return Deleted(id=tenant)
