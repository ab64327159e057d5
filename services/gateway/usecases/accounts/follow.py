"""Follows the store: what was remembered of accounts goes within a second of any change, on every gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from libs.clock import Clock
from libs.errors import PlatformError
from services.gateway.ports.accounts import AccountStore

Report = Callable[[PlatformError | None], None]


class Follower(Protocol):
    """Remembers something of accounts."""

    async def changed(self) -> None:
        """Some account has changed, or may have: read again. Raises PlatformError; then it is called again."""
        ...

    def outdated(self) -> None:
        """The store has not answered for so long that nothing remembered of it counts any more."""
        ...


class AccountsFollower:
    """Asks for the version every `every_seconds` and tells the followers, in order, when it is another.

    `first` is called before each time: it may bring changes of its own. While the store does not answer, what is
    remembered stands for `stale_seconds`. `report` hears of the first failure and of its end (None).
    """

    def __init__(
        self,
        store: AccountStore,
        clock: Clock,
        followers: Sequence[Follower],
        *,
        first: Callable[[], Awaitable[None]],
        every_seconds: float,
        stale_seconds: float,
        report: Report,
    ) -> None:
        self._store = store
        self._clock = clock
        self._followers = followers
        self._first = first
        self._every_seconds = every_seconds
        self._stale_seconds = stale_seconds
        self._report = report
        # None: whatever the version is, it may be another than the one that was remembered under.
        self._seen: int | None = None
        self._confirmed_at = clock.monotonic()
        self._failing = False

    async def run(self) -> None:
        """Follows for ever."""
        while True:
            await self.look()
            await self._clock.sleep(self._every_seconds)

    async def look(self) -> None:
        """Asks once. Never raises PlatformError."""
        try:
            await self._follow()
        except PlatformError as problem:
            self._failed(problem)
        else:
            self._confirmed_at = self._clock.monotonic()
            if self._failing:
                self._failing = False
                self._report(None)

    async def _follow(self) -> None:
        await self._first()
        version = await self._store.version()
        if version == self._seen:
            return
        # The version was read before the records: a change in between is seen by the next look.
        for follower in self._followers:
            await follower.changed()
        self._seen = version

    def _failed(self, problem: PlatformError) -> None:
        self._seen = None
        if self._clock.monotonic() - self._confirmed_at > self._stale_seconds:
            for follower in self._followers:
                follower.outdated()
        if not self._failing:
            self._failing = True
            self._report(problem)
