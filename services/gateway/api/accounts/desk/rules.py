"""The rules of the desk: what an actor may do, and what it may hand out."""

from __future__ import annotations

from dataclasses import dataclass

from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.access import (
    Action,
    Relation,
    Target,
    Verdict,
    allowed,
    judge,
    may_grant,
    relation,
)
from services.gateway.domain.accounts.grants import Grant, tightest
from services.gateway.domain.accounts.ids import check_id
from services.gateway.domain.accounts.records import PLATFORM, Kind, Role
from services.gateway.domain.turns import Principal
from services.gateway.usecases.accounts import Accounts
from services.gateway.usecases.accounts.changes import not_found


@dataclass(frozen=True, slots=True)
class Rules:
    """Raises NOT_FOUND for what an actor may not see, PERMISSION_DENIED for what it may see and not do."""

    accounts: Accounts

    def require(self, actor: Principal, action: Action, target: Target) -> None:
        """Returns when the actor may do that."""
        verdict = judge(actor, action, target)
        if verdict is Verdict.HIDDEN:
            raise hidden(target)
        if verdict is Verdict.DENIED:
            raise denied(actor, action)

    def tenant(self, actor: Principal, action: Action, tenant: str, otherwise: PlatformError | None = None) -> str:
        """The tenant that is meant, "" being the actor's own. Raises NOT_FOUND for one that is beyond its reach."""
        found = tenant or actor.tenant
        if found != PLATFORM:
            check_id(found, "tenant")
        beyond = relation(actor, Target(found)) in {Relation.FOREIGN, Relation.PLATFORM}
        if beyond and not allowed(actor.role, action, Relation.FOREIGN):
            raise otherwise or hidden(Target(found))
        return found

    def role(self, actor: Principal, role: object) -> None:
        """Returns when the actor may give that role; what is not a role says nothing."""
        if isinstance(role, Role) and not may_grant(actor, role):
            message = f"A key of the role {actor.role} cannot give the role {role}. Ask for one up to its own."
            raise PlatformError(Reason.PERMISSION_DENIED, message, started=False, param="role")

    async def grant(self, actor: Principal, user: str | None) -> Grant:
        """What the actor may give to a key of `user` ("" = of none), or to a user (None). Admins: everything."""
        if actor.role is Role.ADMIN:
            return Grant()
        tenant = await self.accounts.tenants.get(actor.tenant)
        key = await self.accounts.keys.get(actor.tenant, actor.key_id)
        own = [await self.accounts.users.get(actor.tenant, actor.account_user)] if actor.account_user else []
        unbound = [mine.limits for mine in own if mine.id != user]
        return Grant(
            tightest([tenant.limits, key.limits, *(mine.limits for mine in own)]),
            tightest([key.limits, *unbound]),
            actor.models,
            key.expires_at,
        )


def hidden(target: Target) -> PlatformError:
    """The 404, the same as for what does not exist."""
    if target.key:
        return not_found(Kind.KEY, target.key)
    return not_found(Kind.USER, target.user) if target.user else not_found(Kind.TENANT, target.tenant)


def denied(actor: Principal, action: Action) -> PlatformError:
    """The 403."""
    what = action.value.replace(".", " ")
    return PlatformError(
        Reason.PERMISSION_DENIED,
        f"A key of the role {actor.role} may not do this here ({what}). Use a key of a role that may: "
        "docs/admin-api.md says which.",
        started=False,
    )
