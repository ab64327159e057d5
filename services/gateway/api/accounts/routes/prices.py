"""`/v1/admin/prices`: dollars per million tokens."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from services.gateway.api.accounts.answers import Deleted, Page, PriceOut
from services.gateway.api.accounts.desk import Desk
from services.gateway.api.accounts.requests import PriceIn
from services.gateway.api.accounts.routes.pages import paged
from services.gateway.domain.turns import Principal

_ALL = "/v1/admin/prices"
# Names of models may hold a slash.
_ONE = "/v1/admin/prices/{model:path}"


def add_prices(router: APIRouter, desk: Desk, who: Any) -> None:
    """Adds them."""
    prices = desk.prices

    @router.get(_ALL)
    async def list_prices(after: str = "", limit: int = 100, caller: Principal = who) -> Page[PriceOut]:
        """Stored prices in the order of their models. Those of the gateway's settings are not among them."""
        return paged(await prices.list(caller, after=after, limit=limit), PriceOut.of)

    @router.put(_ONE)
    async def set_price(model: str, price: PriceIn, caller: Principal = who) -> PriceOut:
        """Sets the price of a model or pool; running calls keep theirs."""
        return PriceOut.of(await prices.set(caller, price.price(model)))

    @router.delete(_ONE)
    async def delete_price(model: str, caller: Principal = who) -> Deleted:
        """Takes a price away: the settings' price counts again, or calls of the model are refused."""
        await prices.delete(caller, model)
        return Deleted(id=model)
