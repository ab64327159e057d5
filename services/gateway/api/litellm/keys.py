"""`/key/*` as LiteLLM's scripts call them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Query
from msgspec import UNSET, UnsetType

from libs.errors import PlatformError, Reason
from services.gateway.api.litellm.amounts import seconds
from services.gateway.api.litellm.lookups import Lookups
from services.gateway.api.litellm.requests import (
    KeyGenerate,
    KeyNamed,
    KeyRegenerate,
    KeySent,
    KeysNamed,
    KeyUpdate,
)
from services.gateway.api.litellm.views import Json, key_view, made_view
from services.gateway.domain.accounts.records import Key
from services.gateway.domain.accounts.specs import KeySpec
from services.gateway.domain.turns import Principal

_NEVER = "-1"


class KeyRoutes:
    """What the routes do, over the desk."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self._desk = lookups.desk

    async def generate(self, actor: Principal, sent: KeyGenerate) -> Json:
        """Makes a key."""
        if sent.key:
            raise _unsupported("key", "Keys are made here: take the one in the answer.")
        key, text = await self._desk.keys.create(actor, sent.team_id or "", sent.user_id or "", self._spec(sent))
        if sent.blocked:
            key = await self._desk.keys.block(actor, key.tenant, key.id)
        return made_view(key, text, None, self._now())

    async def info(self, actor: Principal, selector: str | None) -> Json:
        """One key, without a selector the caller's own."""
        key = await self._lookups.key(actor, selector or actor.key_id)
        row = await self._row(key)
        row.pop("token")
        return {"key": selector or key.id, "info": row}

    async def listed(self, actor: Principal, asked: Listing) -> Json:
        """A numbered page of ids, or of rows."""
        found = await self._lookups.keys(actor, asked.team_id, asked.keeps, user=asked.user_id)
        page = found[(asked.page - 1) * asked.size : asked.page * asked.size]
        rows: list[Any] = [await self._row(key) for key in page] if asked.whole else [key.id for key in page]
        return {
            "keys": rows,
            "total_count": len(found),
            "current_page": asked.page,
            "total_pages": -(-len(found) // asked.size),
        }

    async def update(self, actor: Principal, sent: KeyUpdate) -> Json:
        """Changes what is said."""
        key = await self._lookups.key(actor, sent.key, sent.key_alias)
        return {**await self._row(await self._changed(actor, key, sent)), "key": sent.key or key.id}

    async def regenerate(self, actor: Principal, selector: str | None, sent: KeyRegenerate) -> Json:
        """Changes what is said, and gives the key another text."""
        key = await self._lookups.key(actor, sent.key or selector)
        grace = float(seconds(sent.grace_period, "grace_period")) if sent.grace_period else 0.0
        await self._changed(actor, key, sent)
        key, text = await self._desk.keys.rotate(actor, key.tenant, key.id, grace_seconds=grace)
        spent = await self._lookups.spent(key.tenant, [f"k:{key.id}"])
        return made_view(key, text, spent.get(f"k:{key.id}"), self._now())

    async def block(self, actor: Principal, sent: KeyNamed, *, blocked: bool) -> Json:
        """Blocks or unblocks."""
        key = await self._lookups.key(actor, sent.key)
        act = self._desk.keys.block if blocked else self._desk.keys.unblock
        return await self._row(await act(actor, key.tenant, key.id))

    async def delete(self, actor: Principal, sent: KeysNamed) -> Json:
        """Deletes all that are named; where one is not to be found, none."""
        named = sent.keys or sent.key_aliases
        if not named:
            raise PlatformError(Reason.INVALID_REQUEST, "Name the keys: 'keys' or 'key_aliases'.", started=False)
        found = [
            await (self._lookups.key(actor, name) if sent.keys else self._lookups.key(actor, None, name))
            for name in named
        ]
        for key in {key.id: key for key in found}.values():
            await self._desk.keys.delete(actor, key.tenant, key.id)
        return {"deleted_keys": named}

    async def _changed(self, actor: Principal, key: Key, sent: KeyUpdate | KeyRegenerate) -> Key:
        if sent.team_id not in {None, key.tenant}:
            raise _unsupported("team_id", "A key stays in its team: make another one.")
        if sent.user_id not in {None, key.user}:
            raise _unsupported("user_id", "A key stays with its user: make another one.")
        spec = self._spec(sent, key)
        if spec != KeySpec():
            key = await self._desk.keys.update(actor, key.tenant, key.id, spec)
        if sent.blocked is not None and sent.blocked != key.blocked:
            act = self._desk.keys.block if sent.blocked else self._desk.keys.unblock
            key = await act(actor, key.tenant, key.id)
        return key

    def _spec(self, sent: KeySent, before: Key | None = None) -> KeySpec:
        limits = sent.limits(before.limits if before else None)
        renamed = sent.key_alias is not None and (before is None or sent.key_alias != before.name)
        return KeySpec(
            name=sent.key_alias if renamed and sent.key_alias else UNSET,
            limits=UNSET if limits == type(limits)() else limits,
            metadata=sent.told_metadata(),
            expires_at=self._expiry(sent.duration),
        )

    def _expiry(self, duration: str | None) -> float | UnsetType | None:
        if duration is None:
            return UNSET
        return None if duration == _NEVER else self._now() + seconds(duration, "duration")

    async def _row(self, key: Key) -> Json:
        spent = await self._lookups.spent(key.tenant, [f"k:{key.id}"])
        return key_view(key, spent.get(f"k:{key.id}"), self._now())

    def _now(self) -> float:
        return self._desk.clock.unix()


class Listing:
    """What /key/list asks for."""

    def __init__(
        self,
        page: int = Query(1, ge=1),
        size: int = Query(10, ge=1, le=100),
        user_id: str = "",
        team_id: str = "",
        key_alias: str = "",
        key_hash: str = "",
        return_full_object: bool = False,  # noqa: FBT001, FBT002 - a query parameter
    ) -> None:
        self.page, self.size, self.user_id, self.team_id = page, size, user_id, team_id
        self.whole = return_full_object
        self._alias, self._id = key_alias, key_hash

    def keeps(self, key: Key) -> bool:
        """Whether the filters let the key through."""
        return self._alias in {"", key.name} and self._id in {"", key.id}


_LISTING = Depends(Listing)


def add_keys(router: APIRouter, lookups: Lookups, who: Any) -> None:
    """Adds the routes."""
    keys = KeyRoutes(lookups)
    _add_changes(router, keys, who)

    @router.post("/key/generate")
    async def litellm_key_generate(sent: KeyGenerate | None = None, caller: Principal = who) -> Json:
        """Makes a key. Its text is in this answer and nowhere else."""
        return await keys.generate(caller, sent or KeyGenerate())

    @router.get("/key/info")
    async def litellm_key_info(key: str | None = None, caller: Principal = who) -> Json:
        """One key by its id or its text; the caller's own where none is named."""
        return await keys.info(caller, key)

    @router.get("/key/list")
    async def litellm_key_list(asked: Listing = _LISTING, caller: Principal = who) -> Json:
        """Keys that the caller may see, newest first."""
        return await keys.listed(caller, asked)


def _add_changes(router: APIRouter, keys: KeyRoutes, who: Any) -> None:
    @router.post("/key/update")
    async def litellm_key_update(sent: KeyUpdate, caller: Principal = who) -> Json:
        """Changes what is said, and nothing else."""
        return await keys.update(caller, sent)

    @router.post("/key/regenerate")
    async def litellm_key_regenerate(sent: KeyRegenerate, caller: Principal = who) -> Json:
        """Gives a key another text."""
        return await keys.regenerate(caller, None, sent)

    @router.post("/key/{key}/regenerate")
    async def litellm_key_regenerate_named(
        key: str, sent: KeyRegenerate | None = None, caller: Principal = who
    ) -> Json:
        """Gives the key of that id or text another text."""
        return await keys.regenerate(caller, key, sent or KeyRegenerate())

    @router.post("/key/block")
    async def litellm_key_block(sent: KeyNamed, caller: Principal = who) -> Json:
        """Blocks a key."""
        return await keys.block(caller, sent, blocked=True)

    @router.post("/key/unblock")
    async def litellm_key_unblock(sent: KeyNamed, caller: Principal = who) -> Json:
        """Unblocks a key."""
        return await keys.block(caller, sent, blocked=False)

    @router.post("/key/delete")
    async def litellm_key_delete(sent: KeysNamed, caller: Principal = who) -> Json:
        """Revokes keys for good."""
        return await keys.delete(caller, sent)


def _unsupported(param: str, message: str) -> PlatformError:
    return PlatformError(Reason.UNSUPPORTED_PARAMETER, f"'{param}': {message}", started=False, param=param)
