"""Consistent hashing with bounded loads.

V. Mirrokni, M. Thorup, M. Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018 (arXiv:1608.01350, 2016).
Nobody takes a new ball beyond `ceil(factor * (total + 1) / workers)`; the key goes on to the next worker of its ranking
(libs/rendezvous.py) that has room. With a factor >= 1 there always is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def bound(loads: Sequence[int], factor: float) -> int:
    """The load at which nothing new is taken."""
    return math.ceil(factor * (sum(loads) + 1) / len(loads))


def first_with_room(loads: Sequence[Sequence[int]], factor: float) -> int:
    """Index of the first of a ranking that has room in every measure; `loads[i]` has one number per measure.

    One measure alone always leaves room somewhere, several together may not: then the first with room in the first
    measure, which is the one that hurts now.
    """
    bounds = [bound(measure, factor) for measure in zip(*loads, strict=True)]
    for index, load in enumerate(loads):
        if all(value < limit for value, limit in zip(load, bounds, strict=True)):
            return index
    return next(index for index, load in enumerate(loads) if load[0] < bounds[0])
