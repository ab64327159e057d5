"""API keys: made, shown once, rotated, blocked, deleted. Their text is in return values and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from libs.clock import Clock
from libs.ids import RandomBytes
from services.gateway.domain.accounts.checks import TIME_MAX, invalid
from services.gateway.domain.accounts.ids import check_id, key_id
from services.gateway.domain.accounts.records import Key, Kind
from services.gateway.domain.accounts.specs import KeySpec, applied
from services.gateway.domain.auth import SECRET_BYTES, format_key, hash_key, hint_of, well_formed
from services.gateway.domain.turns import Principal
from services.gateway.ports.accounts import AccountStore, KeyDirectory
from services.gateway.usecases.accounts.changes import TRIES_MAX, Changes, blocked, no_such_text, not_found, unblocked
from services.gateway.usecases.accounts.tenants import still_used

GRACE_SECONDS_MAX = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class KeySecrets:
    """What keys are made of."""

    pepper: bytes = field(repr=False)
    random_bytes: RandomBytes


class Keys:
    """Use cases on keys. None of them asks whether the actor may: that is decided before."""

    def __init__(
        self, store: AccountStore, directory: KeyDirectory, changes: Changes, clock: Clock, secrets: KeySecrets
    ) -> None:
        self._store = store
        self._directory = directory
        self._changes = changes
        self._clock = clock
        self._secrets = secrets

    async def create(self, tenant: str, spec: KeySpec, actor: Principal, *, user: str = "") -> tuple[Key, str]:
        """A new key and its text, which can never be had again.

        Raises INVALID_REQUEST, or CONFLICT where tenant or user is missing.
        """
        at = self._clock.unix()
        text = self._new_text()
        record_id = key_id(self._secrets.random_bytes)
        made = Key(
            tenant=check_id(tenant, "tenant"),
            id=record_id,
            hmac=hash_key(self._secrets.pepper, text),
            user=user,
            hint=hint_of(text),
            created_at=at,
        )
        made = applied(made, spec, at)
        self._check_expiry(spec)
        await self._changes.make(Kind.KEY, tenant, record_id, made, actor)
        return made, text

    async def get(self, tenant: str, record_id: str) -> Key:
        """Raises NOT_FOUND."""
        return await self._changes.get(Key, tenant, record_id)

    async def locate(self, record_id: str) -> Key:
        """The key of that id in whichever tenant. Raises NOT_FOUND."""
        tenant = await self._directory.tenant_of(record_id)
        if not tenant:
            raise not_found(Kind.KEY, record_id)
        return await self.get(tenant, record_id)

    async def by_text(self, presented: str) -> Key:
        """The key with that text as its present or previous one. Raises NOT_FOUND, which does not repeat the text."""
        found = (
            await self._store.find_key(hash_key(self._secrets.pepper, presented)) if well_formed(presented) else None
        )
        if found is None:
            raise no_such_text()
        return found

    async def list(self, tenant: str, *, after: str = "", limit: int = 100) -> Sequence[Key]:
        """Keys of the tenant in the order of their ids, those behind `after`."""
        found = await self._store.list(Kind.KEY, tenant, after=after, limit=limit)
        return [record for record in found if isinstance(record, Key)]

    async def update(self, tenant: str, record_id: str, spec: KeySpec, actor: Principal) -> Key:
        """The key with what the spec says. Raises NOT_FOUND, INVALID_REQUEST, CONFLICT."""
        at = self._clock.unix()
        self._check_expiry(spec)
        return await self._changes.edit(Key, tenant, record_id, actor, lambda before: applied(before, spec, at))

    async def rotate(
        self, tenant: str, record_id: str, actor: Principal, *, grace_seconds: float = 0.0
    ) -> tuple[Key, str]:
        """The key with a new text, and that text; the old one is accepted for `grace_seconds` more (30 days at most).

        Of an earlier rotation's grace nothing is left: two texts are valid at most. Raises NOT_FOUND, INVALID_REQUEST.
        """
        if not 0.0 <= grace_seconds <= GRACE_SECONDS_MAX:
            raise invalid("grace_seconds", f"must be from 0 to {GRACE_SECONDS_MAX:.0f}")
        text = self._new_text()
        digest, until = hash_key(self._secrets.pepper, text), self._clock.unix() + grace_seconds

        def rotated(before: Key) -> Key:
            previous = {"previous_hmac": before.hmac, "previous_until": until} if grace_seconds else _NO_PREVIOUS
            return msgspec.structs.replace(before, hmac=digest, hint=hint_of(text), **previous)

        return await self._changes.edit(Key, tenant, record_id, actor, rotated), text

    async def block(self, tenant: str, record_id: str, actor: Principal) -> Key:
        """Refuses the key until `unblock`. A repeat does nothing. Raises NOT_FOUND."""
        return await self._changes.edit(Key, tenant, record_id, actor, blocked)

    async def unblock(self, tenant: str, record_id: str, actor: Principal) -> Key:
        """Ends `block`. A repeat does nothing. Raises NOT_FOUND."""
        return await self._changes.edit(Key, tenant, record_id, actor, unblocked)

    async def delete(self, tenant: str, record_id: str, actor: Principal) -> None:
        """Revokes the key for good: its id is never used again. Raises NOT_FOUND, CONFLICT."""
        for _ in range(TRIES_MAX):
            if await self._changes.drop(await self.get(tenant, record_id), actor):
                return
        raise still_used(f"Key {record_id}")

    def _new_text(self) -> str:
        return format_key(self._secrets.random_bytes(SECRET_BYTES))

    def _check_expiry(self, spec: KeySpec) -> None:
        if isinstance(spec.expires_at, float | int) and not self._clock.unix() < spec.expires_at <= TIME_MAX:
            raise invalid("expires_at", "must be a time in the future, in Unix seconds")


_NO_PREVIOUS: dict[str, str | float] = {"previous_hmac": "", "previous_until": 0.0}
