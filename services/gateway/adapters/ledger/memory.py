"""The ledger in memory, over the pure model: for tests of what uses it. Held to the store by one contract suite."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.gateway.adapters.ledger.store import LeaseTimes
from services.gateway.domain.ledger.model import TenantLedger
from services.gateway.domain.ledger.scopes import unpack_limits
from services.gateway.domain.ledger.types import (
    Ask,
    End,
    HoldReply,
    OutboxEntry,
    Outcome,
    Overdue,
    Progress,
    ReservationState,
    ScopeTotals,
    Settlement,
    Terms,
)


class MemoryLedger:
    """See ports.Holds, ports.Census, ports.Leases and ports.Reservations. While `down`, everything is refused."""

    def __init__(self, clock: Clock, times: LeaseTimes | None = None) -> None:
        times = times or LeaseTimes()
        self._clock = clock
        self._lease_us = int(times.lease_seconds * 1_000_000)
        self._grace_us = int(times.grace_seconds * 1_000_000)
        self._tenants: dict[str, TenantLedger] = {}
        self._gateways: dict[str, str] = {}
        self._lives = 1
        self.down = False

    def set_limits(self, tenant: str, scope: str, limits: bytes) -> None:
        """Writes a scope's limits as the accounts do; `limits` comes from domain.ledger.limits.scope_limits."""
        self._of(tenant).books.limits[scope] = unpack_limits(limits)

    def dump(self, tenant: str) -> dict[str, ScopeTotals]:
        """Every scope of the tenant that has a state."""
        return self._of(tenant).dump()

    def outbox(self, tenant: str) -> Sequence[OutboxEntry]:
        """What was decided for the tenant, in order."""
        return self._of(tenant).outbox()

    def snapshot(self) -> dict[str, TenantLedger]:
        """All that is kept, for `restart`."""
        return copy.deepcopy(self._tenants)

    def restart(self, kept: dict[str, TenantLedger] | None = None) -> None:
        """Begins another life of the store, with what it has, or as a `snapshot` has it: the rest is lost."""
        self._lives += 1
        if kept is not None:
            self._tenants = copy.deepcopy(kept)

    def _now(self) -> int:
        if self.down:
            message = "The store (in memory) does not answer: a test says so. Let the test bring it up; retry."
            raise PlatformError(Reason.STORE_UNAVAILABLE, message, retry_after_seconds=1.0, started=False)
        return round(self._clock.unix() * 1_000_000)

    def _of(self, tenant: str) -> TenantLedger:
        return self._tenants.setdefault(tenant, TenantLedger())

    def _life(self) -> str:
        return str(self._lives)

    async def hello(self) -> str:
        """See ports.Holds."""
        self._now()
        return self._life()

    async def hold(self, life: str, ask: Ask, *, expire: bool) -> HoldReply:
        """See ports.Holds."""
        now = self._now()
        if life != self._life():
            return HoldReply(Outcome.LIFE)
        return self._of(ask.tenant).hold(ask, self._lease_us, self._grace_us if expire else None, now)

    async def extend(self, life: str, ask: Ask, amount: int, tokens: int, progress: Progress) -> Outcome:
        """See ports.Holds."""
        now = self._now()
        if life != self._life():
            return Outcome.LIFE
        return self._of(ask.tenant).extend(ask.request_id, amount, tokens, progress, self._lease_us, now)

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Outcome | None]:
        """See ports.Holds."""
        now = self._now()
        return [self._of(settlement.tenant).settle(settlement, now)[0] for settlement in settlements]

    async def redeclare(self, life: str, ask: Ask, at_us: int, progress: Progress) -> Outcome:
        """See ports.Holds."""
        now = self._now()
        if life != self._life():
            return Outcome.LIFE
        return self._of(ask.tenant).redeclare(ask, at_us, progress, self._lease_us, now)

    async def beat(self, name: str, declared: str) -> tuple[str, dict[str, str]]:
        """See ports.Census. No gateway is forgotten here."""
        self._now()
        self._gateways[name] = declared
        return self._life(), {other: told for other, told in self._gateways.items() if other != name}

    async def leave(self, name: str) -> None:
        """See ports.Census."""
        self._now()
        self._gateways.pop(name, None)

    async def overdue(self, tenant: str, limit: int) -> Sequence[Overdue]:
        """See ports.Leases."""
        return self._of(tenant).overdue(limit, self._now())

    async def end(self, tenant: str, overdue: Overdue, end: End, progress: Progress) -> bool:
        """See ports.Leases."""
        return self._of(tenant).end(overdue, end, progress, self._now())

    async def expire(self, tenant: str, limit: int) -> int:
        """See ports.Leases."""
        return self._of(tenant).expire(self._grace_us, limit, self._now())

    async def reserve(
        self, life: str, tenant: str, reservation: str, amount: int, scopes: Sequence[str], terms: Terms | None = None
    ) -> HoldReply:
        """See ports.Reservations."""
        now = self._now()
        if life != self._life():
            return HoldReply(Outcome.LIFE)
        return self._of(tenant).reserve(reservation, amount, scopes, now, terms)

    async def find(self, tenant: str, reservation: str) -> ReservationState | None:
        """See ports.Reservations."""
        return self._of(tenant).find(reservation, self._now())

    async def release(self, tenant: str, reservation: str) -> int:
        """See ports.Reservations."""
        return self._of(tenant).release(reservation, self._now())
