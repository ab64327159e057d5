"""Who calls: a presented key is looked up once, remembered, and forgotten with the next change of any account."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import math
from dataclasses import dataclass
from typing import TypeVar

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.identity import Identity, identify
from services.gateway.domain.accounts.records import Key, Kind, Tenant, User
from services.gateway.domain.auth import KEY_CHARS_MAX, hash_key, refusal, well_formed
from services.gateway.domain.turns import Principal
from services.gateway.ports.accounts import AccountStore
from services.gateway.usecases.accounts.steady_time import SteadyTime

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class AuthLimits:
    """What the authenticator remembers, and how much it asks."""

    # Keys, about 600 bytes each; beyond it the one remembered first is looked up again.
    known_max: int = 10_000
    # Refused texts: a client that goes on with a wrong key asks the store once in so many seconds.
    refused_max: int = 1_000
    refused_seconds: float = 1.0
    # Look-ups at once. A flood of wrong keys gets 429 beyond it, and so do right ones that are not remembered.
    lookups_max: int = 1_000


class KeyAuthenticator:
    """See api.ports.Authenticator. What is remembered is kept under a plain SHA-256 of the presented text: one hash per
    request, and no plain key in memory for longer than its request.
    """

    def __init__(self, store: AccountStore, clock: Clock, pepper: bytes, limits: AuthLimits | None = None) -> None:
        self._store = store
        self._clock = clock
        self._pepper = pepper
        self._limits = limits or AuthLimits()
        self._time = SteadyTime(clock)
        self._known: dict[bytes, Identity] = {}
        self._refused: dict[bytes, tuple[float, PlatformError]] = {}
        self._lookups: dict[bytes, asyncio.Task[Principal]] = {}
        self._generation = 0

    def known(self, presented: str) -> Principal | None:
        """See Authenticator."""
        if len(presented) > KEY_CHARS_MAX:
            return None
        digest = _digest(presented)
        found = self._known.get(digest)
        if found is None:
            return None
        if found.until != math.inf and self._time.now() >= found.until:
            del self._known[digest]
            return None
        return found.principal

    async def authenticate(self, presented: str) -> Principal:
        """See Authenticator. Text that cannot be a key is refused without asking the store."""
        if not well_formed(presented):
            raise refusal(presented)
        found = self.known(presented)
        if found is not None:
            return found
        digest = _digest(presented)
        self._raise_if_refused(digest)
        return await asyncio.shield(self._lookups.get(digest) or self._begin(presented, digest))

    async def changed(self) -> None:
        """See Follower: every key is looked up again, also those that are being looked up right now."""
        self.outdated()

    def outdated(self) -> None:
        """See Follower."""
        self._generation += 1
        self._known.clear()
        self._refused.clear()
        self._lookups.clear()

    def _raise_if_refused(self, digest: bytes) -> None:
        until, problem = self._refused.get(digest, (0.0, None))
        if problem is None:
            return
        if self._clock.monotonic() < until:
            raise dataclasses.replace(problem)
        del self._refused[digest]

    def _begin(self, presented: str, digest: bytes) -> asyncio.Task[Principal]:
        """One look-up per text, however many wait for it; it goes on when a waiter leaves."""
        if len(self._lookups) >= self._limits.lookups_max:
            message = "Too many API keys are being looked up at once. Try again in a second."
            raise PlatformError(Reason.OVERLOADED, message, retry_after_seconds=1.0, started=False)
        task = asyncio.get_running_loop().create_task(self._look_up(presented, digest), name="key-look-up")
        self._lookups[digest] = task
        task.add_done_callback(lambda done: self._ended(digest, done))
        return task

    def _ended(self, digest: bytes, task: asyncio.Task[Principal]) -> None:
        if self._lookups.get(digest) is task:
            del self._lookups[digest]
        if not task.cancelled():
            task.exception()  # somebody may wait for it or nobody: either way it has been seen

    async def _look_up(self, presented: str, digest: bytes) -> Principal:
        generation = self._generation
        try:
            found = await self._identify(hash_key(self._pepper, presented))
        except PlatformError as problem:
            if problem.reason is Reason.INVALID_API_KEY and generation == self._generation:
                until = self._clock.monotonic() + self._limits.refused_seconds
                _put(self._refused, digest, (until, problem), self._limits.refused_max)
            raise
        # What was read before a change that has been seen meanwhile is good for this request alone.
        if generation == self._generation:
            _put(self._known, digest, found, self._limits.known_max)
        return found.principal

    async def _identify(self, hmac: str) -> Identity:
        key = await self._store.find_key(hmac)
        if key is None:
            raise refusal("unknown")
        tenant, user = await asyncio.gather(self._store.get(Kind.TENANT, key.tenant, key.tenant), self._user_of(key))
        return identify(hmac, key, user, tenant if isinstance(tenant, Tenant) else None, self._time.now())

    async def _user_of(self, key: Key) -> User | None:
        user = await self._store.get(Kind.USER, key.tenant, key.user) if key.user else None
        return user if isinstance(user, User) else None


def _digest(presented: str) -> bytes:
    return hashlib.sha256(presented.encode("utf-8", "replace")).digest()


def _put(kept: dict[bytes, V], digest: bytes, value: V, kept_max: int) -> None:
    """Bounded: the one kept first makes room."""
    while len(kept) >= kept_max and digest not in kept:
        del kept[next(iter(kept))]
    kept[digest] = value
