"""Amounts in JSON: dollars as exact decimals, "12.5" on the way out; strings or numbers on the way in."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from libs.money import NANODOLLARS_MAX, AmountError, from_dollars, to_dollars

_DESCRIPTION = "US dollars as a decimal, 9 decimal places at most"


def nanodollars(given: Any) -> int:
    """Nano-dollars of an amount in JSON. Raises ValueError, which does not repeat what was given."""
    if not isinstance(given, bool) and isinstance(given, str | int | float | Decimal):
        with contextlib.suppress(AmountError):
            return from_dollars(given)
    raise ValueError(
        f'This is no amount: write dollars as a decimal such as "12.5", at most {to_dollars(NANODOLLARS_MAX)} and with '
        "9 decimal places at most"
    )


Dollars = Annotated[
    int,
    BeforeValidator(nanodollars),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}], "description": _DESCRIPTION}),
]
