"""How a pool's calls are split: weights, and who gets which variant.

Weighted rendezvous hashing: each variant draws -weight / ln(u) from a hash u of (key, variant), the highest draw wins.
A variant gets weight / sum of the keys, and a change of one weight moves no key between the others. C. Schindelhauer,
G. Schomaker, "Weighted Distributed Hash Tables", SPAA 2005.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from libs.rendezvous import weight as drawn

_DRAWS = 2.0**64


@dataclass(frozen=True, slots=True)
class Variant:
    """One of a pool. `model` is a name of the catalog; `stopped` says why the router set the weight to 0."""

    name: str
    model: str
    weight: int
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class Split:
    """A pool's variants in the order of the settings: the first is what the others are held against.

    `version` goes up with every change in the store; 0 = as in the settings.
    """

    pool: str
    variants: tuple[Variant, ...]
    version: int = 0

    def find(self, name: str) -> Variant | None:
        """By name."""
        return next((variant for variant in self.variants if variant.name == name), None)

    def keeps(self, name: str) -> bool:
        """Whether a session that has this variant keeps it: whatever its weight, unless it was stopped."""
        found = self.find(name)
        return found is not None and not found.stopped

    def assign(self, key: str) -> Variant:
        """The variant of a key that has none. If nothing has weight, the first that is not stopped, else the first."""
        weighted = [variant for variant in self.variants if variant.weight > 0]
        if not weighted:
            return next((variant for variant in self.variants if not variant.stopped), self.variants[0])
        return max(weighted, key=lambda variant: _draw(f"{self.pool}\0{key}", variant))

    def plan(self, name: str, key: str) -> list[Variant]:
        """The variant of a session that has `name` (empty = none), then the others by weight.

        One without weight stands in for nobody: it may be there to be looked at before it gets calls.
        """
        kept = self.find(name) if self.keeps(name) else None
        first = kept or self.assign(key)
        others = [each for each in self.variants if each.name != first.name and each.weight > 0]
        return [first, *sorted(others, key=lambda variant: -variant.weight)]

    def with_weights(self, weights: Mapping[str, int]) -> Split:
        """The same with other weights; a weight that is set takes the stop away."""
        changed = [
            replace(each, weight=weights[each.name], stopped="") if each.name in weights else each
            for each in self.variants
        ]
        return replace(self, variants=tuple(changed))

    def with_stop(self, name: str, why: str) -> Split:
        """The same without new sessions for `name`."""
        changed = [replace(each, weight=0, stopped=why) if each.name == name else each for each in self.variants]
        return replace(self, variants=tuple(changed))


def _draw(key: str, variant: Variant) -> float:
    uniform = (drawn(key, variant.name) + 0.5) / _DRAWS
    return -variant.weight / math.log(min(uniform, 1.0 - 2.0**-53))
