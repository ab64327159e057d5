"""Money is integer nano-dollars (10^-9 USD): sums are exact, and no float ever holds an amount.

A price is nano-dollars per million tokens, so that the cheapest public prices ($0.0375 per million) are whole numbers.
"""

from __future__ import annotations

import re
from decimal import Decimal

NANODOLLARS_PER_DOLLAR = 1_000_000_000
TOKENS_PER_PRICE = 1_000_000
# The store's functions compute in doubles, which hold integers exactly up to 2^53: about nine million dollars.
NANODOLLARS_MAX = 2**53 - 1
# Plain decimals only: "1e3", "NaN" and "Infinity" are amounts to Decimal, but not to people.
_AMOUNT = re.compile(r"\d{1,10}(\.\d{1,30})?", re.ASCII)


class AmountError(ValueError):
    """The text or number is no amount of dollars that can be kept; the message says why."""


def from_dollars(amount: str | float | Decimal) -> int:
    """Nano-dollars of an amount in dollars, e.g. "0.25" or 0.25. Finer than a nano-dollar is refused, never rounded.

    Raises AmountError for negative, non-decimal, too fine or too large amounts.
    """
    text = format(Decimal(repr(amount)), "f") if isinstance(amount, float) else str(amount).strip()
    if not _AMOUNT.fullmatch(text):
        raise AmountError(f"{str(amount)[:40]!r} is not an amount in dollars; write a decimal such as 12.5")
    nano = Decimal(text) * NANODOLLARS_PER_DOLLAR
    if nano != nano.to_integral_value():
        raise AmountError(f"{text} is finer than a nano-dollar (9 decimal places)")
    if nano > NANODOLLARS_MAX:
        raise AmountError(f"{text} is more than the largest amount, {to_dollars(NANODOLLARS_MAX)} dollars")
    return int(nano)


def to_dollars(nanodollars: int) -> str:
    """The amount in dollars as an exact decimal without trailing zeros, e.g. "0.0000125"; never in exponent form."""
    sign, nano = ("-", -nanodollars) if nanodollars < 0 else ("", nanodollars)
    whole, part = divmod(nano, NANODOLLARS_PER_DOLLAR)
    return f"{sign}{whole}.{part:09d}".rstrip("0").rstrip(".")


def cost(tokens: int, nanodollars_per_million: int) -> int:
    """Nano-dollars for tokens at a price, rounded up: no use is free."""
    return -(-tokens * nanodollars_per_million // TOKENS_PER_PRICE)
