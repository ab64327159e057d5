"""Expiries apart: what a herd brought into a cache in one moment must not leave it in one."""

from __future__ import annotations

from collections.abc import Callable

# By so much a lifetime is cut at most, evenly spread.
SHARE = 0.25


def shortened(seconds: float, uniform: Callable[[], float]) -> float:
    """A lifetime of at most `seconds`, and at least three quarters of it. `uniform` gives numbers from 0 to 1."""
    return seconds * (1.0 - SHARE * uniform())
