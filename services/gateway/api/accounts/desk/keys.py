"""Keys, as far as the actor may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from msgspec import UNSET

from services.gateway.api.accounts.desk.pages import Slice, page_of
from services.gateway.api.accounts.desk.rules import Rules, hidden
from services.gateway.domain.accounts.access import Action, Relation, Target, Verdict, allowed, judge
from services.gateway.domain.accounts.ids import check_id
from services.gateway.domain.accounts.records import Key, Role
from services.gateway.domain.turns import Principal
from services.gateway.usecases.accounts import KeySpec, LimitsSpec
from services.gateway.usecases.accounts.changes import no_such_text


@dataclass(frozen=True, slots=True)
class KeyDesk:
    """As TenantDesk. `tenant` "" = the actor's own, and for admins whichever has a key of that id."""

    rules: Rules

    async def create(self, actor: Principal, tenant: str, user: str, spec: KeySpec) -> tuple[Key, str]:
        """The key and its text. A member's key is its own user's, where none is named."""
        tenant = self.rules.tenant(actor, Action.KEY_CREATE, tenant)
        if not user and actor.role is Role.MEMBER:
            user = actor.account_user
        self.rules.require(actor, Action.KEY_CREATE, Target(tenant, user))
        await self._check_owner(actor, tenant, user)
        self.rules.role(actor, spec.role)
        grant = await self.rules.grant(actor, user)
        limits = grant.limits(LimitsSpec() if spec.limits is UNSET else spec.limits)
        spec = msgspec.structs.replace(spec, limits=limits, expires_at=grant.expiry(spec.expires_at, new=True))
        return await self.rules.accounts.keys.create(tenant, spec, actor, user=user)

    async def get(self, actor: Principal, tenant: str, key: str) -> Key:
        """One key, "" = the actor's own."""
        return await self.find(actor, Action.KEY_READ, tenant, key or actor.key_id)

    async def list(
        self,
        actor: Principal,
        tenant: str,
        *,
        user: str = "",
        after: str = "",
        limit: int = 100,
        keep: Callable[[Key], bool] | None = None,
    ) -> Slice[Key]:
        """All keys of the tenant that the actor may see, of one user where it is named, and that `keep` keeps."""
        tenant = self.rules.tenant(actor, Action.KEY_READ, tenant)
        if not allowed(actor.role, Action.KEY_READ, Relation.OWN_USER):
            own = await self.get(actor, tenant, "")
            return Slice([own] if own.id > after and user in {"", own.user} and (keep is None or keep(own)) else [])
        keys = self.rules.accounts.keys
        whole = judge(actor, Action.KEY_READ, Target(tenant)) is Verdict.ALLOWED

        def wanted(key: Key) -> bool:
            seen = whole or judge(actor, Action.KEY_READ, _target(key)) is Verdict.ALLOWED
            return seen and (not user or key.user == user) and (keep is None or keep(key))

        return await page_of(
            lambda after, limit: keys.list(tenant, after=after, limit=limit),
            _id,
            after=after,
            limit=limit,
            keep=None if whole and not user and keep is None else wanted,
        )

    async def update(self, actor: Principal, tenant: str, key: str, spec: KeySpec) -> Key:
        """See Keys.update."""
        found = await self.find(actor, Action.KEY_UPDATE, tenant, key)
        self.rules.role(actor, spec.role)
        if spec.limits is not UNSET or spec.expires_at is not UNSET:
            grant = await self.rules.grant(actor, found.user)
            limits = UNSET if spec.limits is UNSET else grant.limits(spec.limits, found.limits)
            spec = msgspec.structs.replace(spec, limits=limits, expires_at=grant.expiry(spec.expires_at, new=False))
        return await self.rules.accounts.keys.update(found.tenant, found.id, spec, actor)

    async def rotate(self, actor: Principal, tenant: str, key: str, *, grace_seconds: float = 0.0) -> tuple[Key, str]:
        """The key and its next text."""
        found = await self.find(actor, Action.KEY_ROTATE, tenant, key)
        return await self.rules.accounts.keys.rotate(found.tenant, found.id, actor, grace_seconds=grace_seconds)

    async def block(self, actor: Principal, tenant: str, key: str) -> Key:
        """See Keys.block."""
        found = await self.find(actor, Action.KEY_BLOCK, tenant, key)
        return await self.rules.accounts.keys.block(found.tenant, found.id, actor)

    async def unblock(self, actor: Principal, tenant: str, key: str) -> Key:
        """See Keys.unblock."""
        found = await self.find(actor, Action.KEY_UNBLOCK, tenant, key)
        return await self.rules.accounts.keys.unblock(found.tenant, found.id, actor)

    async def delete(self, actor: Principal, tenant: str, key: str) -> None:
        """See Keys.delete."""
        found = await self.find(actor, Action.KEY_DELETE, tenant, key)
        await self.rules.accounts.keys.delete(found.tenant, found.id, actor)

    async def by_text(self, actor: Principal, text: str) -> Key:
        """The key with that text, when the actor may see it. Raises NOT_FOUND, which does not repeat the text."""
        found = await self.rules.accounts.keys.by_text(text)
        if judge(actor, Action.KEY_READ, _target(found)) is not Verdict.ALLOWED:
            raise no_such_text()
        return found

    async def find(self, actor: Principal, action: Action, tenant: str, key: str) -> Key:
        """The key, when the actor may do that to it."""
        check_id(key, "key")
        keys = self.rules.accounts.keys
        if not tenant and allowed(actor.role, action, Relation.FOREIGN):
            found = await keys.locate(key)
        else:
            tenant = self.rules.tenant(actor, action, tenant, hidden(Target(tenant or actor.tenant, key=key)))
            found = await keys.get(tenant, key)
        self.rules.require(actor, action, _target(found))
        return found

    async def _check_owner(self, actor: Principal, tenant: str, user: str) -> None:
        """Raises NOT_FOUND where the tenant or the user is missing, PERMISSION_DENIED for a user of a higher role."""
        if not user:
            await self.rules.accounts.tenants.get(tenant)
            return
        owner = await self.rules.accounts.users.get(tenant, check_id(user, "user"))
        self.rules.require(actor, Action.KEY_CREATE, Target(tenant, user, role=owner.role))


def _target(key: Key) -> Target:
    return Target(key.tenant, key.user, key.id, key.role)


def _id(key: Key) -> str:
    return key.id
