"""The ordered plan over pools: the tier's own, then where to fall back to."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import StrEnum
from typing import NamedTuple

from services.router.domain.policy.wish import ChoiceReason
from services.router.domain.tiers import RANK, Tier, Tiers


class Fallback(StrEnum):
    """Where a call goes when its tier cannot serve it."""

    # The better tiers first, nearest first; then the cheaper ones.
    UP = "up"
    # The other way round.
    DOWN = "down"
    # Nowhere.
    NONE = "none"


class PoolChoice(NamedTuple):
    """One pool of the plan."""

    pool: str
    tier: Tier
    reason: ChoiceReason


def order(
    tier: Tier,
    reason: ChoiceReason,
    tiers: Tiers,
    fallback: Fallback,
    *,
    floor: Tier | None,
    allowed: Collection[str],
) -> list[PoolChoice]:
    """Pools of `tier` in their order, then of the others by `fallback`.

    None is below `floor`, none is outside `allowed` (empty = all). Empty when that leaves nothing.
    """
    found: list[PoolChoice] = []
    first = True
    for name in _tiers(tier, tiers, fallback):
        if floor is not None and RANK[name] < RANK[floor]:
            continue
        for each in tiers.pools(name):
            if not allowed or each.pool in allowed:
                found.append(PoolChoice(each.pool, name, _reason(name, tier, reason, first=first)))
            first = False
    return found


def _tiers(tier: Tier, tiers: Tiers, fallback: Fallback) -> Iterator[Tier]:
    yield tier
    if fallback is Fallback.NONE:
        return
    above = [name for name in tiers.names if RANK[name] > RANK[tier]]
    below = [name for name in reversed(tiers.names) if RANK[name] < RANK[tier]]
    yield from above + below if fallback is Fallback.UP else below + above


def _reason(name: Tier, tier: Tier, reason: ChoiceReason, *, first: bool) -> ChoiceReason:
    if name == tier:
        return reason if first else ChoiceReason.SAME_TIER
    return ChoiceReason.UP if RANK[name] > RANK[tier] else ChoiceReason.DOWN
