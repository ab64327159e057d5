"""The ledger, and the outbox that leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.gateway.domain.ledger.types import Ask, OutboxEntry, Progress, Settlement, Standing


class Ledger(Protocol):
    """Holds, extends, settles. All of a tenant's limits are checked at once, in the store, for all gateways."""

    async def hold(self, ask: Ask) -> Standing:
        """Checks and holds everything, or nothing. A repeat with the same request id changes nothing.

        Raises PlatformError: RATE_LIMITED, INSUFFICIENT_QUOTA, BUDGET_EXCEEDED, INVALID_API_KEY (revoked meanwhile),
        or STORE_UNAVAILABLE within the store's time limit.
        """
        ...

    async def extend(self, tenant: str, request_id: str, amount: int, tokens: int, progress: Progress) -> bool:
        """Holds `amount` more for a running call and renews its lease; False when that would pass a limit.

        With amount 0 it reports progress only. Raises STORE_UNAVAILABLE.
        """
        ...

    def settle(self, settlement: Settlement) -> None:
        """Charges a call and frees what its hold did not need. Never blocks or raises: it is kept and repeated until
        the store has it.
        """
        ...

    def refund(self, tenant: str, request_id: str) -> None:
        """Ends a hold without a charge: nothing of the call was delivered. As `settle` otherwise."""
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
