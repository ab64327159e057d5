from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.money import NANODOLLARS_MAX, AmountError, cost, from_dollars, to_dollars


@given(st.integers(0, NANODOLLARS_MAX))
def test_an_amount_survives_being_written_down(nano):
    assert from_dollars(to_dollars(nano)) == nano


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_float_is_the_decimal_that_it_prints_as(whole, nano):
    number = float(f"{whole % 10_000}.{nano:09d}")
    if Decimal(repr(number)) * 10**9 % 1 == 0:
        assert from_dollars(number) == int(Decimal(repr(number)) * 10**9)


@pytest.mark.parametrize(
    "bad",
    ["-1", "1e3", "NaN", "Infinity", "inf", "", " ", "1,5", "0x10", "1_000", "\u0661", "0.0000000001",
     "9007199.254740992", "99999999999", float("nan"), float("inf"), -0.5, "1.", ".5", "--1", "1.5 USD"],
)  # fmt: skip
def test_what_is_no_amount_is_refused(bad):
    with pytest.raises(AmountError):
        from_dollars(bad)


@pytest.mark.parametrize(
    ("amount", "nano"), [("0", 0), (0.1, 10**8), ("9007199.254740991", NANODOLLARS_MAX), (1e-9, 1)]
)
def test_amounts_are_exact(amount, nano):
    assert from_dollars(amount) == nano


def test_no_use_is_free():
    assert cost(1, 1) == 1
    assert cost(0, 10**12) == 0
    assert cost(1_000_000, 37_500_000) == 37_500_000


def test_a_difference_may_be_negative_when_written():
    assert to_dollars(-1_500_000_000) == "-1.5"
