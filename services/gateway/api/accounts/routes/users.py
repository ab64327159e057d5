"""`/v1/admin/users`. `tenant` may be left out: then it is the caller's."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from services.gateway.api.accounts.answers import Deleted, Page, UserOut
from services.gateway.api.accounts.desk import Desk
from services.gateway.api.accounts.requests import UserChange, UserNew
from services.gateway.api.accounts.routes.pages import paged
from services.gateway.domain.turns import Principal

_ALL = "/v1/admin/users"
_ONE = "/v1/admin/users/{user}"


def add_users(router: APIRouter, desk: Desk, who: Any) -> None:
    """Adds them."""
    users = desk.users

    @router.post(_ALL, status_code=201)
    async def create_user(new: UserNew, caller: Principal = who) -> UserOut:
        """Makes a user."""
        return UserOut.of(await users.create(caller, new.tenant, new.id, new.spec()))

    @router.get(_ALL)
    async def list_users(tenant: str = "", after: str = "", limit: int = 100, caller: Principal = who) -> Page[UserOut]:
        """Users of a tenant that the caller may see, in the order of their ids."""
        return paged(await users.list(caller, tenant, after=after, limit=limit), UserOut.of)

    @router.get(_ONE)
    async def get_user(user: str, tenant: str = "", caller: Principal = who) -> UserOut:
        """One user."""
        return UserOut.of(await users.get(caller, tenant, user))

    @router.patch(_ONE)
    async def update_user(user: str, change: UserChange, tenant: str = "", caller: Principal = who) -> UserOut:
        """Changes what is said, and nothing else."""
        return UserOut.of(await users.update(caller, tenant, user, change.spec()))

    @router.post(_ONE + "/block")
    async def block_user(user: str, tenant: str = "", caller: Principal = who) -> UserOut:
        """Refuses everything of the user's keys, within a second everywhere."""
        return UserOut.of(await users.block(caller, tenant, user))

    @router.post(_ONE + "/unblock")
    async def unblock_user(user: str, tenant: str = "", caller: Principal = who) -> UserOut:
        """Ends a block."""
        return UserOut.of(await users.unblock(caller, tenant, user))

    @router.delete(_ONE)
    async def delete_user(user: str, tenant: str = "", caller: Principal = who) -> Deleted:
        """Deletes the user with its keys, for good."""
        await users.delete(caller, tenant, user)
        return Deleted(id=user)
