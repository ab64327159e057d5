"""What a request sets for itself: the most it may cost, and the least tier that answers. Both places count."""

from __future__ import annotations

from collections.abc import Mapping

from libs.money import AmountError, from_dollars
from services.gateway.domain.choose import TIERS
from services.gateway.domain.turns import NO_CONSTRAINTS, Constraints
from services.gateway.wire.openai_chat_types import Extension
from services.gateway.wire.refusals import invalid

MAX_COST_HEADER, MIN_TIER_HEADER = "x-headrace-max-cost", "x-headrace-min-tier"
HEADERS = frozenset({MAX_COST_HEADER, MIN_TIER_HEADER})


def constraints_of(headers: Mapping[str, str], extension: Extension | None) -> Constraints:
    """The narrower of what the body's `headrace` object and the headers say. Raises INVALID_REQUEST."""
    if extension is None and (not headers or HEADERS.isdisjoint(headers)):
        return NO_CONSTRAINTS
    told = extension or Extension()
    costs = [(told.max_cost, "headrace.max_cost"), (headers.get(MAX_COST_HEADER), MAX_COST_HEADER)]
    tiers = [(told.min_tier, "headrace.min_tier"), (headers.get(MIN_TIER_HEADER), MIN_TIER_HEADER)]
    most = [_dollars(given, param) for given, param in costs if given is not None]
    least = [_tier(given, param) for given, param in tiers if given is not None]
    return Constraints(min(most, default=None), max(least, key=TIERS.index, default=""))


def _dollars(given: str | float, param: str) -> int:
    try:
        return from_dollars(given)
    except AmountError as problem:
        raise invalid(param, f"'{param}' must be an amount in dollars such as \"0.01\": {problem}.") from None


def _tier(given: str, param: str) -> str:
    if given not in TIERS:
        raise invalid(param, f"'{param}' must be one of {', '.join(TIERS)}.")
    return given
