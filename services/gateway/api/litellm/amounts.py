"""LiteLLM's numbers: dollars are JSON numbers, times are ISO 8601, durations know weeks and words."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from libs.errors import PlatformError, Reason
from libs.money import NANODOLLARS_PER_DOLLAR
from services.gateway.domain.accounts.durations import DurationError, seconds_of

_WORDS = {"hourly": "1h", "daily": "24h", "weekly": "7d", "monthly": "30d"}
_WEEKS = re.compile(r"([1-9]\d{0,3})w", re.ASCII)


def number(nanodollars: int) -> float:
    """Dollars as the nearest double, as LiteLLM answers; never computed with."""
    return nanodollars / NANODOLLARS_PER_DOLLAR


def iso(unix: float | None) -> str | None:
    """The time in ISO 8601, UTC."""
    return None if unix is None else datetime.fromtimestamp(unix, UTC).isoformat()


def duration_of(text: str, param: str) -> str:
    """The duration in this gateway's words: "2w" and "weekly" are days. Raises INVALID_REQUEST.

    Calendar months are refused: a window here has one length.
    """
    plain = _WORDS.get(text.strip().lower(), text.strip())
    weeks = _WEEKS.fullmatch(plain)
    plain = f"{int(weeks[1]) * 7}d" if weeks else plain
    try:
        seconds_of(plain)
    except DurationError:
        message = f"'{param}' is no duration: write 30s, 30m, 30h, 30d or 4w. Calendar months are not supported."
        raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param=param) from None
    return plain


def seconds(text: str, param: str) -> int:
    """Seconds of a duration."""
    return seconds_of(duration_of(text, param))
