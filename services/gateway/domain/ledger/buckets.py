"""Buckets of the per-minute limits: GCRA in its leaky-bucket form (ITU-T I.371, "continuous-state leaky bucket").

A bucket's level is in units x microseconds and drains by `limit` units a minute, so that everything is an integer. What
is refused adds nothing. Units are requests or tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

MINUTE_US = 60_000_000


@dataclass(slots=True)
class Bucket:
    """The level as it was at `at_us` (microseconds since the epoch), and the units that were ever put in."""

    level: int = 0
    at_us: int = 0
    given: int = 0

    def drained(self, limit: int, now: int) -> int:
        """The level at `now`. A clock that stepped back drains nothing and delays nothing."""
        return max(0, self.level - max(0, now - self.at_us) * limit)

    def fill(self, limit: int, units: int, now: int) -> None:
        """Puts units in."""
        self.level = self.drained(limit, now) + units * MINUTE_US
        self.at_us = now
        self.given += units

    def take_back(self, limit: int, units: int, given: int, now: int) -> None:
        """Takes back units that were put in when `given` were in all, as far as they have not drained away.

        The bucket drains in the order in which it was filled: what is there of them is beyond all that came later. So
        nobody's units make room twice, when they drain and when they are taken back.
        """
        level = self.drained(limit, now)
        left = max(0, level - (self.given - given) * MINUTE_US)
        self.level = level - min(units * MINUTE_US, left)
        self.at_us = now


def wait_us(level: int, limit: int, units: int) -> int | None:
    """Microseconds until `units` more fit on top of `level`; 0 = they fit, None = they never will."""
    over = level + units * MINUTE_US - limit * MINUTE_US
    if over <= 0:
        return 0
    return None if units > limit else -(-over // limit)


def units_left(level: int, limit: int) -> int:
    """Whole units that fit on top of `level`."""
    return max(0, (limit * MINUTE_US - level) // MINUTE_US)


def reset_us(level: int, limit: int) -> int:
    """Microseconds until the bucket is empty."""
    return -(-level // limit)
