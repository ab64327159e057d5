"""What LiteLLM's scripts name things by: key texts, ids and aliases; users without their team; "everything"."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from libs.errors import PlatformError, Reason
from services.gateway.api.accounts.desk import Desk
from services.gateway.api.accounts.desk.pages import LIMIT_MAX
from services.gateway.domain.accounts.records import Key, Role, Tenant, User
from services.gateway.domain.accounts.spend import ScopeSpend
from services.gateway.domain.turns import Principal

# LiteLLM's lists are numbered pages over everything, which has to be read for each: beyond it our own lists are better.
LISTED_MAX = 10_000
_TEXT = "sk-"


@dataclass(frozen=True, slots=True)
class Lookups:
    """All of it as far as the actor may see; raises NOT_FOUND for the rest."""

    desk: Desk

    async def key(self, actor: Principal, selector: str | None, alias: str | None = None) -> Key:
        """The key of that text or id, else of that alias in the actor's teams."""
        if selector:
            if selector.startswith(_TEXT):
                return await self.desk.keys.by_text(actor, selector)
            return await self.desk.keys.get(actor, "", selector)
        if not alias:
            message = "Name the key: 'key' is its id or its text."
            raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param="key")
        found = await self.keys(actor, "", lambda key: key.name == alias)
        if len(found) != 1:
            message = f"{len(found)} keys have that alias. Name the key by its id."
            reason = Reason.CONFLICT if found else Reason.NOT_FOUND
            raise PlatformError(reason, message, started=False, param="key_alias")
        return found[0]

    async def keys(
        self, actor: Principal, team: str, keep: Callable[[Key], bool] | None = None, user: str = ""
    ) -> list[Key]:
        """All keys of a team, or of all teams; newest first."""
        found: list[Key] = []
        async for tenant in self.team_ids(actor, team):
            after = ""
            while True:
                page = await self.desk.keys.list(actor, tenant, user=user, after=after, limit=LIMIT_MAX, keep=keep)
                found += page.items
                if len(found) > LISTED_MAX:
                    raise _too_many()
                if not page.next:
                    break
                after = page.next
        return sorted(found, key=lambda key: (-key.created_at, key.id))

    async def team_ids(self, actor: Principal, team: str = "") -> AsyncIterator[str]:
        """The team that is named, else all: those of admins are all there are, everybody else's is its own."""
        if team or actor.role is not Role.ADMIN:
            yield team or actor.tenant
            return
        async for tenant in self.teams(actor):
            yield tenant.id

    async def teams(self, actor: Principal) -> AsyncIterator[Tenant]:
        """All teams that the actor may see."""
        after = ""
        while True:
            page = await self.desk.tenants.list(actor, after=after, limit=LIMIT_MAX)
            for tenant in page.items:
                yield tenant
            if not page.next:
                return
            after = page.next

    async def users(self, actor: Principal, team: str) -> list[User]:
        """All users of a team."""
        found: list[User] = []
        after = ""
        while True:
            page = await self.desk.users.list(actor, team, after=after, limit=LIMIT_MAX)
            found += page.items
            if not page.next:
                return found
            if len(found) > LISTED_MAX:
                raise _too_many()
            after = page.next

    async def user(self, actor: Principal, user: str) -> User:
        """The user of that id: in the actor's team, and for admins in the first team that has one."""
        try:
            return await self.desk.users.get(actor, "", user)
        except PlatformError as problem:
            if problem.reason is not Reason.NOT_FOUND or actor.role is not Role.ADMIN:
                raise
            missing = problem
        async for tenant in self.team_ids(actor):
            try:
                return await self.desk.users.get(actor, tenant, user)
            except PlatformError as problem:
                if problem.reason is not Reason.NOT_FOUND:
                    raise
        raise missing

    async def spent(self, tenant: str, scopes: Iterable[str]) -> dict[str, ScopeSpend]:
        """Where scopes of a team stand, for records that were found by the methods above."""
        wanted = list(scopes)
        found = await self.desk.reports.spend.of_scopes(tenant, wanted) if wanted else []
        return {spend.scope: spend for spend in found}


def _too_many() -> PlatformError:
    message = f"There are more than {LISTED_MAX} of them. Name a team, or use /v1/admin, whose lists go page by page."
    return PlatformError(Reason.INVALID_REQUEST, message, started=False)
