"""Prices in dollars per million tokens become whole nano-dollars, or are refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from libs.errors import PlatformError
from libs.money import AmountError
from services.gateway.domain.accounts.records import Price
from services.gateway.domain.prices import price_of


def test_dollars_per_million_become_nanodollars_per_million():
    found = price_of("small", Decimal("0.0375"), Decimal("1E-9"), Decimal(2))
    assert found == Price(
        model="small", input_nanodollars=37_500_000, cached_nanodollars=1, output_nanodollars=2_000_000_000
    )


def test_without_a_price_of_their_own_cached_tokens_cost_what_others_cost():
    assert price_of("small", Decimal("0.5"), None, Decimal(1)).cached_nanodollars == 500_000_000
    assert price_of("small", Decimal("0.5"), Decimal(0), Decimal(1)).cached_nanodollars == 0


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "1E-10", "1E+9"])
def test_what_is_no_amount_is_refused(amount):
    with pytest.raises(AmountError):
        price_of("small", Decimal(amount), None, Decimal(1))


def test_a_price_needs_a_model():
    with pytest.raises(PlatformError):
        price_of("a b", Decimal(1), None, Decimal(1))
