"""Tiers: which pools are small, large and frontier, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from libs.money import cost


class Tier(StrEnum):
    """From the cheapest up; the value is what requests and replies say."""

    SMALL = "small"
    LARGE = "large"
    FRONTIER = "frontier"


ORDER: tuple[Tier, ...] = (Tier.SMALL, Tier.LARGE, Tier.FRONTIER)
RANK: Mapping[str, int] = {tier: rank for rank, tier in enumerate(ORDER)}


@dataclass(frozen=True, slots=True)
class TierPrice:
    """Nano-dollars per million tokens: prompt, prompt found cached, answer."""

    input: int
    cached: int
    output: int

    def reread(self, context_tokens: int) -> int:
        """Nano-dollars for a context that this tier has not seen."""
        return cost(context_tokens, self.input)

    def turn(self, context_tokens: int, output_tokens: int) -> int:
        """Nano-dollars for an answer over a context that is cached."""
        return cost(context_tokens, self.cached) + cost(output_tokens, self.output)


@dataclass(frozen=True, slots=True)
class TierPool:
    """A name of the catalog and its price."""

    pool: str
    price: TierPrice


class Tiers:
    """The tiers that have pools, in the order of preference within each. Without any, it is false."""

    def __init__(self, pools: Mapping[Tier, Sequence[TierPool]]) -> None:
        self._pools = {tier: tuple(pools[tier]) for tier in ORDER if pools.get(tier)}
        self.names: tuple[Tier, ...] = tuple(self._pools)

    def __bool__(self) -> bool:
        return bool(self._pools)

    def pools(self, tier: Tier) -> tuple[TierPool, ...]:
        """Of a tier that has some."""
        return self._pools[tier]

    def price(self, tier: Tier) -> TierPrice:
        """What policy reckons with: the price of the tier's preferred pool."""
        return self._pools[tier][0].price

    def nearest(self, tier: str) -> Tier:
        """The tier itself, else the next one above that has pools, else the highest one: nobody gets less unasked."""
        return next((name for name in self.names if RANK[name] >= RANK[tier]), self.names[-1])

    def above(self, tier: Tier) -> Tier | None:
        """The next higher tier that has pools."""
        return next((name for name in self.names if RANK[name] > RANK[tier]), None)

    def all_pools(self) -> Iterator[TierPool]:
        """Cheapest tier first."""
        for pools in self._pools.values():
            yield from pools
