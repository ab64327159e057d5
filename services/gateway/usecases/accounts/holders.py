"""In whose name work is done that somebody ordered with a key: looked up by the key's id, its text is kept nowhere."""

from __future__ import annotations

import asyncio
import math

from libs.clock import Clock
from services.gateway.domain.accounts.identity import Identity, in_name_of
from services.gateway.domain.accounts.records import Key, Kind, Tenant, User
from services.gateway.domain.turns import Principal
from services.gateway.ports.accounts import AccountStore
from services.gateway.usecases.accounts.steady_time import SteadyTime


class KeyHolders:
    """Remembers principals as the authenticator does, until any account changes; at most `known_max` of them."""

    def __init__(self, store: AccountStore, clock: Clock, known_max: int) -> None:
        self._store = store
        self._time = SteadyTime(clock)
        self._known_max = known_max
        self._known: dict[tuple[str, str], Identity] = {}
        self._generation = 0

    async def principal(self, tenant: str, key_id: str) -> Principal:
        """What the key may now. Raises INVALID_API_KEY (deleted, expired, blocked) and STORE_UNAVAILABLE."""
        found = self._known.get((tenant, key_id))
        if found is not None and (found.until == math.inf or self._time.now() < found.until):
            return found.principal
        generation = self._generation
        found = await self._look_up(tenant, key_id)
        # What was read before a change that has been seen meanwhile is good for this work alone.
        if generation == self._generation:
            while len(self._known) >= self._known_max:
                del self._known[next(iter(self._known))]
            self._known[tenant, key_id] = found
        return found.principal

    async def _look_up(self, tenant: str, key_id: str) -> Identity:
        key, owner = await asyncio.gather(
            self._store.get(Kind.KEY, tenant, key_id), self._store.get(Kind.TENANT, tenant, tenant)
        )
        user = None
        if isinstance(key, Key) and key.user:
            user = await self._store.get(Kind.USER, tenant, key.user)
        return in_name_of(
            key if isinstance(key, Key) else None,
            user if isinstance(user, User) else None,
            owner if isinstance(owner, Tenant) else None,
            self._time.now(),
        )

    async def changed(self) -> None:
        """See Follower."""
        self.outdated()

    def outdated(self) -> None:
        """See Follower."""
        self._generation += 1
        self._known.clear()
