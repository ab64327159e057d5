"""`/team/*` and `/user/*` as LiteLLM's scripts call them. A team is a tenant; a user belongs to one."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from fastapi import APIRouter
from msgspec import UNSET

from libs.errors import PlatformError, Reason
from services.gateway.api.litellm.amounts import seconds
from services.gateway.api.litellm.lookups import Lookups
from services.gateway.api.litellm.requests import TeamNew, TeamUpdate, UserNew
from services.gateway.api.litellm.views import Json, key_view, made_view, team_view, user_view
from services.gateway.domain.accounts.records import Role, Tenant, User
from services.gateway.domain.accounts.specs import KeySpec, TenantSpec, UserSpec
from services.gateway.domain.turns import Principal

# What LiteLLM calls a role, and the narrowest of ours that can do what it says.
_ROLES = {
    "proxy_admin": Role.ADMIN,
    "org_admin": Role.TENANT_ADMIN,
    "internal_user": Role.MEMBER,
    "internal_user_viewer": Role.SERVICE,
}
_TEAM_ROLES = {"admin": Role.TENANT_ADMIN, "user": Role.MEMBER}


class TeamRoutes:
    """What the routes do, over the desk."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self._desk = lookups.desk

    async def new(self, actor: Principal, sent: TeamNew) -> Json:
        """Makes a team, and users for its members."""
        team = sent.team_id or str(uuid4())
        spec = TenantSpec(name=sent.team_alias or UNSET, limits=sent.limits(), metadata=sent.told_metadata())
        tenant = await self._desk.tenants.create(actor, team, spec)
        for member in sent.members_with_roles or ():
            role = _role_of(member.role, _TEAM_ROLES, "members_with_roles")
            await self._desk.users.create(actor, team, member.user_id, UserSpec(role=role))
        if sent.blocked:
            tenant = await self._desk.tenants.block(actor, team)
        return await self._row(actor, tenant)

    async def info(self, actor: Principal, team: str) -> Json:
        """A team with its keys."""
        tenant = await self._desk.tenants.get(actor, team)
        return {
            "team_id": tenant.id,
            "team_info": await self._row(actor, tenant),
            "keys": await self._keys(actor, tenant.id),
            "team_memberships": [],
        }

    async def listed(self, actor: Principal) -> list[Json]:
        """All teams with their keys, in the order of their names."""
        rows = [
            {**await self._row(actor, tenant), "keys": await self._keys(actor, tenant.id), "team_memberships": []}
            async for tenant in self._lookups.teams(actor)
        ]
        return sorted(rows, key=lambda row: row["team_alias"] or "")

    async def update(self, actor: Principal, sent: TeamUpdate) -> Json:
        """Changes what is said."""
        before = await self._desk.tenants.get(actor, sent.team_id)
        limits = sent.limits(before.limits)
        spec = TenantSpec(
            name=sent.team_alias or UNSET,
            limits=UNSET if limits == type(limits)() else limits,
            metadata=sent.told_metadata(),
        )
        tenant = await self._desk.tenants.update(actor, before.id, spec)
        if sent.blocked is not None and sent.blocked != tenant.blocked:
            act = self._desk.tenants.block if sent.blocked else self._desk.tenants.unblock
            tenant = await act(actor, before.id)
        return {"team_id": tenant.id, "data": await self._row(actor, tenant)}

    async def _row(self, actor: Principal, tenant: Tenant) -> Json:
        spent = await self._lookups.spent(tenant.id, ["t"])
        return team_view(tenant, await self._lookups.users(actor, tenant.id), spent.get("t"))

    async def _keys(self, actor: Principal, team: str) -> list[Json]:
        keys = await self._lookups.keys(actor, team)
        spent = await self._lookups.spent(team, [f"k:{key.id}" for key in keys])
        return [key_view(key, spent.get(f"k:{key.id}"), self._desk.clock.unix()) for key in keys]


class UserRoutes:
    """What the routes do, over the desk."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self._desk = lookups.desk

    async def new(self, actor: Principal, sent: UserNew) -> Json:
        """Makes a user, and a key of the user's role beside it where that is wanted."""
        team, there = _team_of(sent)
        role = _role_of(sent.user_role, _ROLES, "user_role") if sent.user_role else there
        name = sent.user_alias or sent.user_email or UNSET
        spec = UserSpec(name=name, role=role, limits=sent.limits(), metadata=sent.told_metadata())
        user = await self._desk.users.create(actor, team, sent.user_id or str(uuid4()), spec)
        if sent.blocked:
            user = await self._desk.users.block(actor, user.tenant, user.id)
        if not sent.auto_create_key:
            return {**user_view(user, None), "key": None, "token": None}
        return {**await self._key(actor, user, sent), **user_view(user, None)}

    async def info(self, actor: Principal, user_id: str) -> Json:
        """A user with keys and team."""
        user = await self._lookups.user(actor, user_id or actor.account_user)
        keys = await self._lookups.keys(actor, user.tenant, user=user.id)
        spent = await self._lookups.spent(user.tenant, [f"u:{user.id}", *(f"k:{key.id}" for key in keys)])
        now = self._desk.clock.unix()
        return {
            "user_id": user.id,
            "user_info": user_view(user, spent.get(f"u:{user.id}")),
            "keys": [key_view(key, spent.get(f"k:{key.id}"), now) for key in keys],
            "teams": [{"team_id": user.tenant}],
        }

    async def _key(self, actor: Principal, user: User, sent: UserNew) -> Json:
        now = self._desk.clock.unix()
        expires_at = now + seconds(sent.duration, "duration") if sent.duration else UNSET
        spec = KeySpec(name=sent.key_alias or UNSET, role=user.role, expires_at=expires_at)
        key, text = await self._desk.keys.create(actor, user.tenant, user.id, spec)
        return made_view(key, text, None, now)


def add_teams(router: APIRouter, lookups: Lookups, who: Any) -> None:
    """Adds the routes."""
    teams = TeamRoutes(lookups)

    @router.post("/team/new")
    async def litellm_team_new(sent: TeamNew, caller: Principal = who) -> Json:
        """Makes a team, which is a tenant here."""
        return await teams.new(caller, sent)

    @router.get("/team/info")
    async def litellm_team_info(team_id: str = "", caller: Principal = who) -> Json:
        """A team; the caller's own where none is named."""
        return await teams.info(caller, team_id)

    @router.get("/team/list")
    async def litellm_team_list(caller: Principal = who) -> list[Json]:
        """All teams that the caller may see."""
        return await teams.listed(caller)

    @router.post("/team/update")
    async def litellm_team_update(sent: TeamUpdate, caller: Principal = who) -> Json:
        """Changes what is said, and nothing else."""
        return await teams.update(caller, sent)


def add_users(router: APIRouter, lookups: Lookups, who: Any) -> None:
    """Adds the routes."""
    users = UserRoutes(lookups)

    @router.post("/user/new")
    async def litellm_user_new(sent: UserNew, caller: Principal = who) -> Json:
        """Makes a user, and a key beside it."""
        return await users.new(caller, sent)

    @router.get("/user/info")
    async def litellm_user_info(user_id: str = "", caller: Principal = who) -> Json:
        """A user; the caller's own where none is named."""
        return await users.info(caller, user_id)


def _team_of(sent: UserNew) -> tuple[str, Role]:
    """The team's id ("" = the caller's own), and what the user is in it."""
    teams = sent.teams or ([sent.team_id] if sent.team_id else [])
    if not teams:
        return "", Role.MEMBER
    if len(teams) > 1:
        message = "'teams' may name one: a user belongs to one tenant here. Make a user in each."
        raise PlatformError(Reason.UNSUPPORTED_PARAMETER, message, started=False, param="teams")
    team = teams[0]
    if isinstance(team, str):
        return team, Role.MEMBER
    return team.team_id, _role_of(team.user_role, _TEAM_ROLES, "teams")


def _role_of(named: str, roles: dict[str, Role], param: str) -> Role:
    if named not in roles:
        message = f"'{param}' may name one of these roles: {', '.join(roles)}."
        raise PlatformError(Reason.UNSUPPORTED_PARAMETER, message, started=False, param=param)
    return roles[named]
