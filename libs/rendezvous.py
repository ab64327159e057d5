"""Rendezvous (highest random weight) hashing: which of several names a key goes to.

D. Thaler and C. Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM Transactions on Networking
6(1), 1998. Every (key, name) pair has a weight; the highest wins. A name that joins takes only the keys it wins; those
of one that leaves go to each key's next one, and no other key moves.
"""

from __future__ import annotations

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
