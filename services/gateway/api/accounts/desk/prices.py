"""Prices: everybody with a key may read them, admins set them."""

from __future__ import annotations

from dataclasses import dataclass

from services.gateway.api.accounts.desk.pages import Slice, page_of
from services.gateway.api.accounts.desk.rules import Rules
from services.gateway.domain.accounts.access import Action, Target
from services.gateway.domain.accounts.ids import check_model
from services.gateway.domain.accounts.records import PLATFORM, Price
from services.gateway.domain.turns import Principal

_PRICES = Target(PLATFORM)


@dataclass(frozen=True, slots=True)
class PriceDesk:
    """As TenantDesk."""

    rules: Rules

    async def list(self, actor: Principal, *, after: str = "", limit: int = 100) -> Slice[Price]:
        """Stored prices in the order of their models."""
        self.rules.require(actor, Action.PRICE_READ, _PRICES)
        prices = self.rules.accounts.prices
        return await page_of(lambda after, limit: prices.list(after=after, limit=limit), _id, after=after, limit=limit)

    async def set(self, actor: Principal, price: Price) -> Price:
        """See Prices.set."""
        self.rules.require(actor, Action.PRICE_SET, _PRICES)
        return await self.rules.accounts.prices.set(price, actor)

    async def delete(self, actor: Principal, model: str) -> None:
        """See Prices.delete."""
        self.rules.require(actor, Action.PRICE_SET, _PRICES)
        await self.rules.accounts.prices.delete(check_model(model), actor)


def _id(price: Price) -> str:
    return price.model
