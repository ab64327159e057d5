"""Reservations as work asks for them: in the store's present life, refused in words."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from libs.errors import PlatformError, Reason
from services.gateway.domain.ledger.told import not_reserved
from services.gateway.domain.ledger.types import Outcome, Terms
from services.gateway.ports import Reservations
from services.gateway.usecases.ledger.lives import Lives


class ReservationDesk:
    """Amounts are nano-dollars. Everything may be repeated, and raises STORE_UNAVAILABLE."""

    def __init__(self, store: Reservations, lives: Lives) -> None:
        self._store, self._lives = store, lives

    async def reserve(self, tenant: str, reservation: str, amount: int, scopes: Sequence[str], terms: Terms) -> int:
        """Sets an amount aside; returns what is, which a repeat does not change.

        Raises BUDGET_EXCEEDED, INVALID_API_KEY, or CONFLICT when the reservation was released already.
        """
        reply = await self._store.reserve(self._lives.name(), tenant, reservation, amount, scopes, terms)
        if reply.outcome is Outcome.LIFE:
            self._lives.over()
            self._lives.name()  # raises
        if reply.refusal is not None:
            raise not_reserved(reply.refusal, amount)
        if reply.outcome is Outcome.ENDED:
            raise released(reservation)
        return reply.amount

    async def terms(self, tenant: str, reservation: str) -> Terms | None:
        """The terms of a reservation; None where it is not open (any more)."""
        found = await self._store.find(tenant, reservation)
        return found.terms if found is not None and found.open else None

    async def release(self, tenant: str, reservations: Sequence[str]) -> int:
        """Frees what they have left; how much that was. One that comes later is refused."""
        return sum(await asyncio.gather(*[self._store.release(tenant, each) for each in reservations]))


def released(reservation: str) -> PlatformError:
    """Nothing is set aside under that name, and nothing will be."""
    message = f"The reservation '{reservation[:100]}' was released: its work has ended, or was given up. Order it anew."
    return PlatformError(Reason.CONFLICT, message, started=False)
