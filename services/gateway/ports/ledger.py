"""The ledger as a call sees it, the store's functions below it, and the outbox that leaves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from services.gateway.domain.ledger.types import (
    Ask,
    End,
    HoldReply,
    OutboxEntry,
    Outcome,
    Overdue,
    Progress,
    ReservationState,
    Settlement,
    Terms,
)


class Ledger(Protocol):
    """Holds, extends, settles. All of a tenant's limits are checked at once, in the store, for all gateways."""

    async def hold(self, ask: Ask, progress: Callable[[], Progress]) -> HoldReply:
        """Checks and holds everything, or nothing. A repeat with the same request id changes nothing.

        While the call runs, its lease is renewed, with what `progress` says. A hold that has ended already holds
        nothing: the outcome is ENDED. Raises PlatformError: RATE_LIMITED, INSUFFICIENT_QUOTA, BUDGET_EXCEEDED,
        INVALID_API_KEY (revoked meanwhile), or STORE_UNAVAILABLE within the store's time limit.
        """
        ...

    async def extend(self, ask: Ask, amount: int, tokens: int, progress: Progress) -> Outcome:
        """Holds more for a running call and renews its lease: OK, NO when that would pass a limit, OFF when its key,
        user or tenant is blocked, deleted or expired, ENDED when its hold has ended. Raises STORE_UNAVAILABLE.
        """
        ...

    def settle(self, ask: Ask, settlement: Settlement) -> None:
        """Ends a hold: charges what was used, or nothing, and frees the rest.

        Never blocks or raises: it is kept and repeated until the store has it.
        """
        ...

    def leave(self, ask: Ask) -> None:
        """Leaves a hold to the gateway that goes on with its call: it is neither renewed nor ended here any more."""
        ...


class Holds(Protocol):
    """The store's functions for running calls; each is atomic and may be repeated. Raises STORE_UNAVAILABLE.

    `life` is the store's life in whose name is asked: what an earlier life acknowledged may be lost.
    """

    async def hello(self) -> str:
        """The store's present life."""
        ...

    async def hold(self, life: str, ask: Ask, *, expire: bool) -> HoldReply:
        """Checks and holds. With `expire`, holds that are long overdue are ended first where they are in the way."""
        ...

    async def extend(self, life: str, ask: Ask, amount: int, tokens: int, progress: Progress) -> Outcome:
        """Holds more (0 = nothing), renews the lease, reports progress.

        The one that does more when it is repeated: what is then held in vain is free again when the call ends.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Outcome | None]:
        """Ends holds, all in one exchange; None = the store did not say.

        One that has expired meanwhile is corrected, as far as its limits have room.
        """
        ...

    async def redeclare(self, life: str, ask: Ask, at_us: int, progress: Progress) -> Outcome:
        """Takes up a hold that an earlier life granted at `at_us`, without a check; nothing if the store has it."""
        ...


class Census(Protocol):
    """Which gateways there are, and in which life of the store each has declared its holds.

    Raises STORE_UNAVAILABLE.
    """

    async def beat(self, name: str, declared: str) -> tuple[str, dict[str, str]]:
        """Says that gateway `name` is here and has declared its holds in that life ("" = not yet).

        Returns the store's life, and of every other gateway the life it has declared them in.
        """
        ...

    async def leave(self, name: str) -> None:
        """Gateway `name` ends, and holds nothing any more."""
        ...


class Leases(Protocol):
    """Holds whose gateway has not renewed them. Raises STORE_UNAVAILABLE."""

    async def overdue(self, tenant: str, limit: int) -> Sequence[Overdue]:
        """Holds whose lease is over."""
        ...

    async def end(self, tenant: str, overdue: Overdue, end: End, progress: Progress) -> bool:
        """Ends one at `progress`; False when it was renewed or ended meanwhile."""
        ...

    async def expire(self, tenant: str, limit: int) -> int:
        """Ends those that are overdue by the grace, too, at their last reported progress; how many."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Outcome | None]:
        """As Holds.settle: corrects what an expired hold was charged."""
        ...


class Reservations(Protocol):
    """Amounts set aside for jobs. Raises STORE_UNAVAILABLE."""

    async def reserve(
        self, life: str, tenant: str, reservation: str, amount: int, scopes: Sequence[str], terms: Terms | None = None
    ) -> HoldReply:
        """Sets aside, or says why not. A repeat changes nothing; ENDED = it was released."""
        ...

    async def find(self, tenant: str, reservation: str) -> ReservationState | None:
        """The reservation, None = there is none, or it was released more than an hour ago."""
        ...

    async def release(self, tenant: str, reservation: str) -> int:
        """Frees what is left and returns it; holds that drew on it keep what they have.

        One that is not there yet is ENDED when it comes.
        """
        ...


class Outbox(Protocol):
    """What the ledger has decided, per tenant and in order, until a durable broker has it. Raises STORE_UNAVAILABLE."""

    async def tenants(self) -> Sequence[str]:
        """Every tenant that may have entries."""
        ...

    async def read(self, tenant: str, after: str, limit: int) -> Sequence[OutboxEntry]:
        """Entries behind the id `after` ("" = from the oldest kept)."""
        ...

    async def cursor(self, tenant: str) -> str:
        """Id of the last entry that a broker has acknowledged; "" = none."""
        ...

    async def advance(self, tenant: str, upto: str, *, trim: bool) -> None:
        """Remembers that a broker has all entries up to `upto`; with `trim` (durable brokers only) they are dropped."""
        ...

    async def lease(self, tenant: str, holder: str, seconds: float) -> bool:
        """True when `holder` may publish this tenant's entries for so long: order needs one publisher at a time."""
        ...
