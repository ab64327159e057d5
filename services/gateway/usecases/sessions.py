"""Explicit sessions belong to the principal that opened them; everybody else is told that they do not exist."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.resilience.jitter import shortened
from services.gateway.domain.sessions import check_session_id, owner_digest
from services.gateway.domain.turns import Principal
from services.gateway.ports import Owners


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What this process remembers of sessions."""

    # Sessions kept in memory, about 400 bytes each; beyond it the least recently used is asked for again.
    sessions_max: int = 100_000
    # How long an owner is believed without asking. It also renews the session's idle time in the store, so it must
    # stay well under that; up to a quarter less, so that a herd does not come back as one. 0 asks on every call.
    fresh_seconds: float = 60.0
    # How long a remembered owner stands in for a store that is away.
    keep_seconds: float = 86_400.0


@dataclass(slots=True)
class OpenSession:
    """A session that this process has seen. `opened` is the date its templates print."""

    owner: str
    opened: datetime
    checked_at: float
    fresh_until: float


class SessionGuard:
    """Checks owners, in memory where it can. Calls of one session that come at once ask the store once."""

    def __init__(
        self,
        owners: Owners,
        clock: Clock,
        limits: SessionLimits,
        *,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        """`uniform` gives numbers from 0 to 1, for the jitter."""
        self._uniform = uniform
        self._questions: dict[tuple[str, str, str], asyncio.Task[OpenSession]] = {}
        self._owners = owners
        self._clock = clock
        self._limits = limits
        self._seen: OrderedDict[tuple[str, str], OpenSession] = OrderedDict()

    async def enter(self, session: str, principal: Principal, user: str) -> OpenSession:
        """The session, now owned by the principal if it was free.

        Raises SESSION_NOT_FOUND for another's session, INVALID_REQUEST for an id that is too long,
        STORE_UNAVAILABLE when the store is away and the owner is not remembered.
        """
        key = (principal.tenant, session)
        owner = owner_digest(principal, user)
        seen = self._seen.get(key)
        if seen is None or self._clock.monotonic() > seen.fresh_until:
            seen = await self._ask_once(key, owner, seen)
        else:
            self._seen.move_to_end(key)
        if seen.owner != owner:
            message = "There is no such session. Session ids belong to the API key and user that first used them."
            raise PlatformError(Reason.SESSION_NOT_FOUND, message, started=False, param="session_id")
        return seen

    async def _ask_once(self, key: tuple[str, str], owner: str, seen: OpenSession | None) -> OpenSession:
        """One question per session and owner, however many wait for it; it goes on when a waiter leaves."""
        asked = (*key, owner)
        question = self._questions.get(asked)
        if question is None:
            question = asyncio.get_running_loop().create_task(self._ask(key, owner, seen), name="session-owner")
            self._questions[asked] = question
            question.add_done_callback(lambda done: self._answered(asked, done))
        try:
            return await asyncio.shield(question)
        except PlatformError as error:
            # Each waiter's own: what a call writes on its error is nobody else's.
            raise replace(error) from error

    def _answered(self, asked: tuple[str, str, str], question: asyncio.Task[OpenSession]) -> None:
        del self._questions[asked]
        if not question.cancelled():
            question.exception()  # read here, because every waiter may have gone

    async def _ask(self, key: tuple[str, str], owner: str, seen: OpenSession | None) -> OpenSession:
        check_session_id(key[1])
        try:
            holder = await self._owners.claim(*key, owner)
        except PlatformError as error:
            now = self._clock.monotonic()
            if (
                error.reason is Reason.STORE_UNAVAILABLE
                and seen is not None
                and now - seen.checked_at <= self._limits.keep_seconds
            ):
                return seen
            raise
        return self._remember(key, holder, seen)

    def _remember(self, key: tuple[str, str], holder: str, seen: OpenSession | None) -> OpenSession:
        now = self._clock.monotonic()
        if seen is None or seen.owner != holder:
            opened = datetime.fromtimestamp(self._clock.unix(), UTC)
            seen = OpenSession(holder, opened, now, now)
        seen.checked_at = now
        seen.fresh_until = now + shortened(self._limits.fresh_seconds, self._uniform)
        self._seen[key] = seen
        self._seen.move_to_end(key)
        if len(self._seen) > self._limits.sessions_max:
            self._seen.popitem(last=False)
        return seen
