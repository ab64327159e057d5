"""Prices of models and pools, for the whole platform."""

from __future__ import annotations

from collections.abc import Sequence

from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.checks import check_price
from services.gateway.domain.accounts.ids import check_model
from services.gateway.domain.accounts.records import PLATFORM, Kind, Price
from services.gateway.domain.turns import Principal
from services.gateway.ports.accounts import AccountStore
from services.gateway.usecases.accounts.changes import TRIES_MAX, Changes, not_found


class Prices:
    """Use cases on prices. None of them asks whether the actor may: that is decided before."""

    def __init__(self, store: AccountStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[Price]:
        """Stored prices in the order of their models; those of the settings are not among them."""
        found = await self._store.list(Kind.PRICE, PLATFORM, after=after, limit=limit)
        return [record for record in found if isinstance(record, Price)]

    async def get(self, model: str) -> Price:
        """The stored price. Raises NOT_FOUND."""
        found = await self._stored(model)
        if found is None:
            raise not_found(Kind.PRICE, model)
        return found

    async def set(self, price: Price, actor: Principal) -> Price:
        """Stores the price of a model; calls that are held already keep theirs. Raises INVALID_REQUEST, CONFLICT."""
        check_price(price)
        await self._put(price.model, price, actor)
        return price

    async def delete(self, model: str, actor: Principal) -> None:
        """Takes a stored price away: the settings' price counts, or calls are refused. Raises NOT_FOUND."""
        await self.get(check_model(model))
        await self._put(model, None, actor)

    async def _put(self, model: str, after: Price | None, actor: Principal) -> None:
        for tries_left in reversed(range(TRIES_MAX)):
            before = await self._stored(model)
            if before == after:
                return
            try:
                await self._changes.put_price(before, after, actor)
            except PlatformError as problem:
                if problem.reason is not Reason.CONFLICT or not tries_left:
                    raise
            else:
                return

    async def _stored(self, model: str) -> Price | None:
        found = await self._store.get(Kind.PRICE, PLATFORM, model)
        return found if isinstance(found, Price) else None
