"""`/v1/admin/keys`. `tenant` may be left out: then it is the caller's, and for admins that of the key."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from services.gateway.api.accounts.answers import Deleted, KeyMade, KeyOut, Page
from services.gateway.api.accounts.desk import Desk
from services.gateway.api.accounts.requests import KeyChange, KeyNew, KeyRotation
from services.gateway.api.accounts.routes.pages import paged
from services.gateway.domain.turns import Principal

_ALL = "/v1/admin/keys"
_ONE = "/v1/admin/keys/{key}"


def add_keys(router: APIRouter, desk: Desk, who: Any) -> None:
    """Adds them."""
    _add_making(router, desk, who)
    keys = desk.keys

    @router.get(_ALL)
    async def list_keys(
        tenant: str = "", user: str = "", after: str = "", limit: int = 100, caller: Principal = who
    ) -> Page[KeyOut]:
        """Keys of a tenant, or of one user of it, that the caller may see, in the order of their ids."""
        return paged(await keys.list(caller, tenant, user=user, after=after, limit=limit), KeyOut.of)

    @router.get(_ONE)
    async def get_key(key: str, tenant: str = "", caller: Principal = who) -> KeyOut:
        """One key."""
        return KeyOut.of(await keys.get(caller, tenant, key))

    @router.patch(_ONE)
    async def update_key(key: str, change: KeyChange, tenant: str = "", caller: Principal = who) -> KeyOut:
        """Changes what is said, and nothing else."""
        return KeyOut.of(await keys.update(caller, tenant, key, change.spec()))

    @router.post(_ONE + "/block")
    async def block_key(key: str, tenant: str = "", caller: Principal = who) -> KeyOut:
        """Refuses everything of the key, within a second everywhere."""
        return KeyOut.of(await keys.block(caller, tenant, key))

    @router.post(_ONE + "/unblock")
    async def unblock_key(key: str, tenant: str = "", caller: Principal = who) -> KeyOut:
        """Ends a block."""
        return KeyOut.of(await keys.unblock(caller, tenant, key))

    @router.delete(_ONE)
    async def delete_key(key: str, tenant: str = "", caller: Principal = who) -> Deleted:
        """Revokes the key for good, within a second everywhere."""
        await keys.delete(caller, tenant, key)
        return Deleted(id=key)


def _add_making(router: APIRouter, desk: Desk, who: Any) -> None:
    keys = desk.keys

    @router.post(_ALL, status_code=201)
    async def create_key(new: KeyNew, caller: Principal = who) -> KeyMade:
        """Makes a key. Its text is in this answer and nowhere else."""
        key, secret = await keys.create(caller, new.tenant, new.user, new.spec())
        return KeyMade(secret=secret, key=KeyOut.of(key))

    @router.post(_ONE + "/rotate")
    async def rotate_key(
        key: str, rotation: KeyRotation | None = None, tenant: str = "", caller: Principal = who
    ) -> KeyMade:
        """Gives the key another text, shown this once; limits and spend stay."""
        grace = float(rotation.grace_seconds) if rotation else 0.0
        found, secret = await keys.rotate(caller, tenant, key, grace_seconds=grace)
        return KeyMade(secret=secret, key=KeyOut.of(found))
