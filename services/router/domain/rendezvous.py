"""Rendezvous (highest random weight) hashing with bounded loads.

Ranking: D. Thaler and C. Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM Transactions on
Networking 6(1), 1998. Every (key, worker) pair has a weight; the highest wins. A worker that joins takes only the keys
it wins; those of one that leaves go to each key's next one, and no other key moves.

Bound: V. Mirrokni, M. Thorup, M. Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018
(arXiv:1608.01350, 2016). Nobody takes a new ball beyond `ceil(factor * (total + 1) / workers)`; the key goes on to the
next worker of its ranking that has room. With a factor >= 1 there always is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


def weight(key: str, name: str) -> int:
    """64 bits that look random and are the same in every process."""
    digest = blake2b(key.encode(), key=blake2b(name.encode(), digest_size=16).digest(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def rank(key: str, items: Sequence[T], name: Callable[[T], str]) -> list[T]:
    """`items`, highest weight first. Names are distinct."""
    return sorted(items, key=lambda item: weight(key, name(item)), reverse=True)


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
