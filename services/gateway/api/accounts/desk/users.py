"""Users, as far as the actor may."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from msgspec import UNSET

from services.gateway.api.accounts.desk.pages import Slice, page_of
from services.gateway.api.accounts.desk.rules import Rules, hidden
from services.gateway.domain.accounts.access import Action, Target, Verdict, judge
from services.gateway.domain.accounts.ids import check_id
from services.gateway.domain.accounts.records import User
from services.gateway.domain.turns import Principal
from services.gateway.usecases.accounts import LimitsSpec, UserSpec


@dataclass(frozen=True, slots=True)
class UserDesk:
    """As TenantDesk. `tenant` "" = the actor's own."""

    rules: Rules

    async def create(self, actor: Principal, tenant: str, user: str, spec: UserSpec) -> User:
        """See Users.create; raises NOT_FOUND where the tenant is missing."""
        tenant = self.rules.tenant(actor, Action.USER_CREATE, tenant)
        self.rules.require(actor, Action.USER_CREATE, Target(tenant))
        self.rules.role(actor, spec.role)
        await self.rules.accounts.tenants.get(tenant)
        limits = LimitsSpec() if spec.limits is UNSET else spec.limits
        grant = await self.rules.grant(actor, None)
        spec = msgspec.structs.replace(spec, limits=grant.limits(limits))
        return await self.rules.accounts.users.create(tenant, user, spec, actor)

    async def get(self, actor: Principal, tenant: str, user: str) -> User:
        """One user, "" = the actor's own."""
        return await self.find(actor, Action.USER_READ, tenant, user or actor.account_user)

    async def list(self, actor: Principal, tenant: str, *, after: str = "", limit: int = 100) -> Slice[User]:
        """All of the tenant that the actor may see."""
        tenant = self.rules.tenant(actor, Action.USER_READ, tenant)
        users = self.rules.accounts.users

        def seen(user: User) -> bool:
            return judge(actor, Action.USER_READ, Target(tenant, user.id)) is Verdict.ALLOWED

        whole = judge(actor, Action.USER_READ, Target(tenant)) is Verdict.ALLOWED
        return await page_of(
            lambda after, limit: users.list(tenant, after=after, limit=limit),
            _id,
            after=after,
            limit=limit,
            keep=None if whole else seen,
        )

    async def update(self, actor: Principal, tenant: str, user: str, spec: UserSpec) -> User:
        """See Users.update."""
        found = await self.find(actor, Action.USER_UPDATE, tenant, user)
        self.rules.role(actor, spec.role)
        if spec.limits is not UNSET:
            grant = await self.rules.grant(actor, None)
            spec = msgspec.structs.replace(spec, limits=grant.limits(spec.limits, found.limits))
        return await self.rules.accounts.users.update(found.tenant, user, spec, actor)

    async def block(self, actor: Principal, tenant: str, user: str) -> User:
        """See Users.block."""
        found = await self.find(actor, Action.USER_BLOCK, tenant, user)
        return await self.rules.accounts.users.block(found.tenant, user, actor)

    async def unblock(self, actor: Principal, tenant: str, user: str) -> User:
        """See Users.unblock."""
        found = await self.find(actor, Action.USER_UNBLOCK, tenant, user)
        return await self.rules.accounts.users.unblock(found.tenant, user, actor)

    async def delete(self, actor: Principal, tenant: str, user: str) -> None:
        """See Users.delete."""
        found = await self.find(actor, Action.USER_DELETE, tenant, user)
        await self.rules.accounts.users.delete(found.tenant, user, actor)

    async def find(self, actor: Principal, action: Action, tenant: str, user: str) -> User:
        """The user, when the actor may do that to it."""
        check_id(user, "user")
        tenant = self.rules.tenant(actor, action, tenant, hidden(Target(tenant or actor.tenant, user)))
        self.rules.require(actor, action, Target(tenant, user))
        found = await self.rules.accounts.users.get(tenant, user)
        self.rules.require(actor, action, Target(tenant, user, role=found.role))
        return found


def _id(user: User) -> str:
    return user.id
