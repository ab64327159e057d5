"""Prices as operators write them: dollars per million tokens."""

from __future__ import annotations

from decimal import Decimal

from libs.money import from_dollars
from services.gateway.domain.accounts.checks import check_price
from services.gateway.domain.accounts.records import Price


def price_of(model: str, input_usd: Decimal, cached_usd: Decimal | None, output_usd: Decimal) -> Price:
    """The price of a model from dollars per million tokens; `cached` None = as much as other prompt tokens.

    Raises AmountError, or INVALID_REQUEST for a name that no model can have.
    """
    price = Price(
        model=model,
        input_nanodollars=_nanodollars(input_usd),
        cached_nanodollars=_nanodollars(input_usd if cached_usd is None else cached_usd),
        output_nanodollars=_nanodollars(output_usd),
    )
    check_price(price)
    return price


def _nanodollars(dollars: Decimal) -> int:
    return from_dollars(format(dollars, "f"))
