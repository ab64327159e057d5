"""A scope's limits in the form that the store's functions read: field `lim` of the scope, written by account changes.

A MessagePack map. Absent = not limited. `rpm`, `tpm`, `par`: integers; `b`: budgets as
[duration, microseconds (0 = total), limit, soft limit or -1, anchor in microseconds]; `ses`, `req`: nano-dollars per
session tree and per request; `cap`: nano-dollars that reservations may hold; `exp`: microseconds since the epoch from
which the scope refuses; `off`: why it refuses everything.
"""

from __future__ import annotations

from typing import Any

import msgspec

from services.gateway.domain.accounts.durations import microseconds_of
from services.gateway.domain.accounts.records import Budget, Key, Limits, Tenant, User

BLOCKED = "blocked"
DELETED = "deleted"


def scope_limits(record: Tenant | User | Key | None) -> bytes:
    """The limits of a record's scope; None = deleted, which refuses everything."""
    return msgspec.msgpack.encode({"off": DELETED} if record is None else _limits(record))


def scope_name(record: Tenant | User | Key) -> str:
    """The scope that a record's limits bound."""
    if isinstance(record, Tenant):
        return "t"
    return f"u:{record.id}" if isinstance(record, User) else f"k:{record.id}"


def _limits(record: Tenant | User | Key) -> dict[str, Any]:
    found = _bounds(record.limits)
    if record.blocked:
        found["off"] = BLOCKED
    if isinstance(record, Key) and record.expires_at is not None:
        found["exp"] = int(record.expires_at * 1_000_000)
    if isinstance(record, Tenant) and record.reservations_max_nanodollars is not None:
        found["cap"] = record.reservations_max_nanodollars
    return found


def _bounds(limits: Limits) -> dict[str, Any]:
    named = {
        "rpm": limits.requests_per_minute,
        "tpm": limits.tokens_per_minute,
        "par": limits.parallel_requests,
        "ses": limits.session_budget_nanodollars,
        "req": limits.request_budget_nanodollars,
    }
    found: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if limits.budgets:
        found["b"] = [_budget(budget) for budget in limits.budgets]
    return found


def _budget(budget: Budget) -> list[Any]:
    soft = -1 if budget.soft_nanodollars is None else budget.soft_nanodollars
    anchor_us = int(budget.anchor_at * 1_000_000)
    return [budget.duration, microseconds_of(budget.duration), budget.limit_nanodollars, soft, anchor_us]
