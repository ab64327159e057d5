"""The tiers of a local installation: which names `auto` chooses from, and their prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

TIERS = ("small", "large", "frontier")


class Priced(Protocol):
    """Dollars per million tokens, as decimals."""

    @property
    def input(self) -> str:
        """Of the prompt."""
        ...

    @property
    def cached(self) -> str:
        """Of the prompt, found cached."""
        ...

    @property
    def output(self) -> str:
        """Of the answer."""
        ...


class Served(Protocol):
    """A worker's names."""

    @property
    def model(self) -> str:
        """The model's own."""
        ...

    @property
    def pools(self) -> tuple[str, ...]:
        """Those that stand for it."""
        ...


def prices_by_name(workers: Sequence[Served], prices: Mapping[str, Priced]) -> dict[str, Priced | None]:
    """Every name that workers serve, with the price of the first worker's model behind it; None = it has none."""
    found: dict[str, Priced | None] = {}
    for worker in workers:
        for name in (worker.model, *worker.pools):
            found.setdefault(name, prices.get(worker.model))
    return found


def chosen_tiers(
    given: Mapping[str, Sequence[str]], names: Mapping[str, Priced | None]
) -> dict[str, list[tuple[str, Priced]]]:
    """Names by tier. Where nothing is given, a tier is the pool of its name, if that is served and has a price.

    Raises ValueError for a given name that nobody serves or that has no price.
    """
    if not given:
        own = {tier: names.get(tier) for tier in TIERS}
        return {tier: [(tier, price)] for tier, price in own.items() if price is not None}
    return {tier: [(name, _price(tier, name, names)) for name in given[tier]] for tier in TIERS if given.get(tier)}


def _price(tier: str, name: str, names: Mapping[str, Priced | None]) -> Priced:
    if name not in names:
        served = ", ".join(sorted(names))
        raise ValueError(f"tiers.{tier} names {name!r}, which no worker serves; there is {served}")
    price = names[name]
    if price is None:
        raise ValueError(f"tiers.{tier} names {name!r}, which has no price; give its worker a `price`")
    return price


def as_settings(tiers: Mapping[str, Sequence[tuple[str, Priced]]]) -> dict[str, Any]:
    """What the router takes as `tiers`."""
    return {
        tier: [
            {
                "pool": name,
                "input_usd_per_million": price.input,
                "cached_usd_per_million": price.cached,
                "output_usd_per_million": price.output,
            }
            for name, price in pools
        ]
        for tier, pools in tiers.items()
    }
