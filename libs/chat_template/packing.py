"""Token ids as little-endian uint32, the cheap form on the wire and in caches."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable


def pack(ids: Iterable[int]) -> bytes:
    """Four bytes per id."""
    return _little(array("I", ids)).tobytes()


def unpack(packed: bytes) -> list[int]:
    """The ids of `pack`. Raises ValueError when the length is no multiple of four."""
    ids = array("I")
    ids.frombytes(packed)
    return _little(ids).tolist()


def _little(ids: array[int]) -> array[int]:
    if sys.byteorder == "big":
        ids.byteswap()
    return ids
