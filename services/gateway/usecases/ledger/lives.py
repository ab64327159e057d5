"""The store's lives: after a restart nothing is held before what earlier lives granted has been declared again.

A store that lost its last second has forgotten holds and charges that were acknowledged. Every gateway remembers its
own; so in a new life each first declares them, and waits for the others to have done so, before it holds anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.telemetry import get_logger
from services.gateway.ports import Census

BEAT_SECONDS_MAX = 1.0
RETRY_SECONDS = 0.1
LOOK_SECONDS = 0.05
_log = get_logger("gateway.ledger")

# Declares everything that this gateway has granted, in the name of a life. May raise STORE_UNAVAILABLE.
Declare = Callable[[str], Awaitable[None]]


class Lives:
    """Follows the store's life. `barrier_seconds`: the longest wait for other gateways, for one may be dead."""

    def __init__(
        self, census: Census, clock: Clock, name: str, declare: Declare, *, barrier_seconds: float, gap_seconds: float
    ) -> None:
        self._census = census
        self._clock = clock
        self._name = name
        self._declare = declare
        self._barrier_seconds = barrier_seconds
        self._gap_seconds = gap_seconds
        self._beat_seconds = min(BEAT_SECONDS_MAX, gap_seconds / 3)
        self._life = ""
        self._heard_at = self._contact_since = self._opened_at = clock.monotonic()
        # Holds could be made at some time: a gateway that has just begun waits for it before it is ready.
        self.begun = False
        # The store was surely in the life that is followed until here.
        self.sure_until = self._heard_at

    @property
    def open(self) -> bool:
        """True while holds may be made."""
        return bool(self._life)

    def name(self) -> str:
        """The life to ask in; raises STORE_UNAVAILABLE while the last one's holds are being declared."""
        if not self._life:
            message = "The ledger is taking up its holds after a restart of the store. Try again in a moment."
            raise PlatformError(Reason.STORE_UNAVAILABLE, message, retry_after_seconds=1.0, started=False)
        return self._life

    def over(self) -> None:
        """The store says that this life is over."""
        self._life = ""

    def contact_seconds(self) -> float:
        """For how long the store has answered without a gap: leases that ended in a gap say nothing."""
        return self._clock.monotonic() - self._contact_since

    def open_seconds(self) -> float:
        """For how long holds may be made in this life."""
        return self._clock.monotonic() - self._opened_at

    async def leave(self) -> None:
        """Tells that the gateway ends: nobody needs to wait for it. Raises STORE_UNAVAILABLE."""
        await self._census.leave(self._name)

    async def follow(self) -> None:
        """For ever: beats, and opens again after a new life."""
        while True:
            try:
                await self._look()
            except PlatformError:
                await self._clock.sleep(RETRY_SECONDS)
                continue
            await self._clock.sleep(self._beat_seconds if self._life else LOOK_SECONDS)

    async def _look(self) -> None:
        asked_at = self._clock.monotonic()
        life, _ = await self._beat(self._life)
        if life == self._life:
            self.sure_until = asked_at
            return
        self._life = ""
        await self._declare(life)
        until = self._clock.monotonic() + self._barrier_seconds
        while True:
            present, others = await self._beat(life)
            if present != life:
                return
            waits_for = sorted(name for name, declared in others.items() if declared != life)
            if not waits_for or self._clock.monotonic() >= until:
                break
            await self._clock.sleep(LOOK_SECONDS)
        self._life, self._opened_at, self.begun = life, self._clock.monotonic(), True
        _log.info("ledger open", life=life, not_heard_of=waits_for)

    async def _beat(self, declared: str) -> tuple[str, dict[str, str]]:
        found = await self._census.beat(self._name, declared)
        now = self._clock.monotonic()
        if now - self._heard_at > self._gap_seconds:
            self._contact_since = now
        self._heard_at = now
        return found
