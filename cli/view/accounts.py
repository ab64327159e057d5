"""Accounts in words: what the admin API answers, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Document = Mapping[str, Any]


def usd(amount: str | None) -> str:
    """An amount of the API's in dollars, exact; "" where there is none."""
    if amount is None:
        return ""
    return f"-${amount[1:]}" if amount.startswith("-") else f"${amount}"


def moment(unix: float | None) -> str:
    """A time in UTC, to the second; "" where there is none."""
    return "" if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S")


def key_state(key: Document, now: float) -> str:
    """What a key is at `now` (Unix seconds)."""
    if key["blocked"]:
        return "blocked"
    if key["expires_at"] is not None and key["expires_at"] <= now:
        return "expired"
    return "rotating" if key["previous_until"] and key["previous_until"] > now else "active"


def limit_words(limits: Document) -> str:
    """All limits but the budgets of windows, "" where there is none."""
    counted = {
        "requests_per_minute": "requests/min",
        "tokens_per_minute": "tokens/min",
        "parallel_requests": "in parallel",
    }
    words = [f"{limits[name]} {unit}" for name, unit in counted.items() if limits[name] is not None]
    for name, per in (("session_budget_usd", "session"), ("request_budget_usd", "request")):
        if limits[name] is not None:
            words.append(f"{usd(limits[name])} per {per}")
    return ", ".join(words)


def all_limit_words(limits: Document) -> str:
    """As `limit_words`, with the budgets."""
    budgets = [f"{usd(each['limit_usd'])} per {each['duration']}" for each in limits["budgets"]]
    return ", ".join(words for words in (limit_words(limits), *budgets) if words).replace(" per total", " in total")


def tag_words(tags: Mapping[str, str]) -> str:
    """Tags as they are given on the command line."""
    return ", ".join(f"{name}={value}" for name, value in tags.items())


BUDGET_COLUMNS = ("duration", "limit", "soft", "spent", "held", "left", "begins anew (UTC)")
BUDGET_NUMBERS = frozenset({"limit", "soft", "spent", "held", "left"})


def budget_rows(budgets: Document) -> list[list[str]]:
    """Rows for BUDGET_COLUMNS of an answer of `/v1/admin/budgets`."""
    if budgets["state"] is None:
        return [
            [each["duration"], usd(each["limit_usd"]), usd(each["soft_usd"]), "", "", "", ""]
            for each in budgets["budgets"]
        ]
    return [
        [
            each["duration"],
            *(usd(each[name]) for name in ("limit_usd", "soft_usd", "settled_usd", "held_usd", "remaining_usd")),
            moment(each["resets_at"]) or "never",
        ]
        for each in budgets["state"]["budgets"]
    ]
