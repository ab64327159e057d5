"""What the router needs of the world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.router.domain.binding import Bound, SessionKey
from services.router.domain.classifier.facts import Judgement, TurnFacts
from services.router.domain.policy.session import SessionRoute
from services.router.domain.session_routes import StoredRoute
from services.router.domain.variants.split import Split


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


class SessionRoutes(Protocol):
    """Tiers and variants of sessions, which all router replicas share."""

    @property
    def up(self) -> bool:
        """Whether it is worth asking. Never blocks, never raises."""
        ...

    async def save(self, key: SessionKey, route: SessionRoute, version: int) -> StoredRoute:
        """The route that holds now: `route` if there was none or the stored one had `version`, else the stored one.

        A repeat changes nothing. Keeps the session from expiring. Blocks and raises as BindingStore.bind.
        """
        ...


class Judge(Protocol):
    """Says how hard a turn is."""

    def judge(self, facts: TurnFacts) -> Judgement:
        """Never blocks (some 50 µs), never raises, is the same for the same facts."""
        ...


class ChoiceObserver(Protocol):
    """Counts what is chosen. Nothing blocks or raises."""

    def chose(self, tier: str, reason: str) -> None:
        """A plan was made: tier and reason of its first model; the tier is empty for a pool that is named."""
        ...

    def moved(self, tier: str, previous: str, reason: str) -> None:
        """A session changed its tier."""
        ...


class VariantStore(Protocol):
    """Weights of variants that all router replicas share."""

    async def load(self, pools: Sequence[str]) -> dict[str, Split]:
        """The splits as they are; version 0 = as in the settings. Blocks and raises as BindingStore.bind."""
        ...

    async def save(self, split: Split, version: int) -> Split:
        """What holds now: `split` with the next version if the stored one had `version`, else the stored one.

        A repeat changes nothing. Blocks and raises as BindingStore.bind.
        """
        ...


class VariantObserver(Protocol):
    """Counts what becomes of variants. Nothing blocks or raises."""

    def tried(self, pool: str, variant: str, attempts: int, failures: int) -> None:
        """A gateway reported attempts."""
        ...

    def stopped(self, pool: str, variant: str, why: str) -> None:
        """A variant was stopped for all replicas, by this one."""
        ...
