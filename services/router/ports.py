"""What the router needs of the world."""

from __future__ import annotations

from typing import Protocol

from services.router.domain.binding import Bound, SessionKey


class BindingStore(Protocol):
    """Bindings that all router replicas share."""

    @property
    def up(self) -> bool:
        """Whether it is worth asking. Never blocks, never raises."""
        ...

    async def bind(self, key: SessionKey, worker: str, version: int) -> Bound:
        """The binding that holds now: `worker`'s if there was none or the stored one had `version`, else the stored.

        A repeat changes nothing. Keeps the session from expiring. Blocks for one store operation, bounded by its
        timeout. Raises PlatformError(STORE_UNAVAILABLE), at once while the store is known to be down.
        """
        ...


class Observer(Protocol):
    """Counts what happens. Nothing blocks or raises."""

    def placed(self, reason: str) -> None:
        """A plan was made; `reason` of its first place (PlaceReason)."""
        ...

    def bound(self, outcome: str) -> None:
        """The store was asked (BindingOutcome)."""
        ...
