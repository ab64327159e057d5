"""What was spent: by scope as the ledger holds it, and by day and dimension as it is reported."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Dimension(StrEnum):
    """What spend is summed by. A tag's value reads "feature=search"."""

    TENANT = "tenant"
    USER = "user"
    END_USER = "end_user"
    KEY = "key"
    MODEL = "model"
    SESSION = "session"
    TAG = "tag"


class BudgetState(msgspec.Struct, frozen=True, kw_only=True):
    """One budget now. `resets_at` is Unix seconds, None for a total."""

    duration: str
    limit_nanodollars: int
    settled_nanodollars: int
    held_nanodollars: int
    resets_at: float | None = None


class ScopeSpend(msgspec.Struct, frozen=True, kw_only=True):
    """A scope now: settled since the beginning, held by running calls and reservations, and its budgets."""

    scope: str
    settled_nanodollars: int
    held_nanodollars: int
    running: int
    budgets: tuple[BudgetState, ...] = ()


class SpendRow(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of one day and one value. `platform_nanodollars` is what the operator bore (retries, cancelled excess)."""

    day: str
    value: str
    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_nanodollars: int
    platform_nanodollars: int = 0
