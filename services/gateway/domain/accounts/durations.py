"""Durations of budgets and lifetimes of keys, as people write them: "30s", "30m", "30h", "30d"; "total" has no end."""

from __future__ import annotations

import re

from services.gateway.domain.accounts.records import TOTAL

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([1-9]\d{0,5})([smhd])", re.ASCII)
SECONDS_MAX = 10 * 366 * 86_400


class DurationError(ValueError):
    """The text is no duration; the message says what is."""


def seconds_of(duration: str) -> int:
    """Seconds of "30s", "30m", "30h" or "30d"; 0 for "total". Raises DurationError."""
    if duration == TOTAL:
        return 0
    found = _DURATION.fullmatch(duration)
    seconds = int(found[1]) * _UNIT_SECONDS[found[2]] if found else 0
    if not 0 < seconds <= SECONDS_MAX:
        raise DurationError(f"{duration[:20]!r} is no duration; write 30s, 30m, 30h, 30d (ten years at most) or total")
    return seconds


def microseconds_of(duration: str) -> int:
    """As `seconds_of`, in microseconds: what the store counts in."""
    return seconds_of(duration) * 1_000_000
