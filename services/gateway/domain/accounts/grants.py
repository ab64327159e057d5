"""What somebody may hand out: never more than it has. Pure.

What anybody but an admin makes or changes is held against the maker's own tenant, user and key. What is not said is
inherited where the ledger would not bound it anyway: a fresh key has a scope of its own, so the limits of its maker's
key, and of its maker's user when it is for somebody else, are copied.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.records import Budget, Limits
from services.gateway.domain.accounts.specs import LimitsSpec

_BOUNDS = (
    "requests_per_minute",
    "tokens_per_minute",
    "parallel_requests",
    "session_budget_nanodollars",
    "request_budget_nanodollars",
)


@dataclass(frozen=True, slots=True)
class Grant:
    """`ceiling`: what may not be passed. `inherited`: what stands where nothing is said.

    `models` and `expires_at` (Unix seconds) are the maker's own; None = all, and never.
    """

    ceiling: Limits = field(default_factory=Limits)
    inherited: Limits = field(default_factory=Limits)
    models: frozenset[str] | None = None
    expires_at: float | None = None

    def limits(self, wanted: LimitsSpec, before: Limits | None = None) -> LimitsSpec:
        """The limits as they may be stored: all of them for a new record, else those that are told.

        A value that is as `before` is kept, whoever set it. Raises PERMISSION_DENIED with its `param`.
        """
        told: dict[str, Any] = {}
        for name in _BOUNDS:
            if getattr(wanted, name) is not UNSET or before is None:
                told[name] = self._bound(name, getattr(wanted, name), getattr(before, name, None))
        if wanted.budgets is not UNSET or before is None:
            told["budgets"] = self._budgets(() if wanted.budgets is UNSET else wanted.budgets, before)
        if wanted.models is not UNSET or before is None:
            told["models"] = self._models(() if wanted.models is UNSET else wanted.models, before)
        return LimitsSpec(**told)

    def budget(self, wanted: Budget, before: Limits) -> None:
        """Raises PERMISSION_DENIED for a single budget that would pass the ceiling."""
        self._budgets((wanted,), before)

    def clear(self, duration: str) -> None:
        """Raises PERMISSION_DENIED where the budget of that duration is the maker's own, too."""
        if any(budget.duration == duration for budget in self.inherited.budgets):
            raise _above("budgets")

    def expiry(self, wanted: float | UnsetType | None, *, new: bool) -> float | UnsetType | None:
        """The expiry as it may be stored: a key makes none that outlives it. Raises PERMISSION_DENIED."""
        if self.expires_at is None or (wanted is UNSET and not new):
            return wanted
        if wanted is UNSET or wanted is None:
            return self.expires_at
        if wanted > self.expires_at:
            raise _above("expires_at")
        return wanted

    def _bound(self, name: str, value: Any, before: int | None) -> int | None:
        if value is None or value is UNSET:
            inherited: int | None = getattr(self.inherited, name)
            return inherited
        most: int | None = getattr(self.ceiling, name)
        if most is not None and value > most and value != before:
            raise _above(name)
        kept: int = value
        return kept

    def _budgets(self, wanted: tuple[Budget, ...], before: Limits | None) -> tuple[Budget, ...]:
        had = _by_duration(before)
        most = _by_duration(self.ceiling)
        for budget in wanted:
            limit = budget.limit_nanodollars
            if limit > most.get(budget.duration, limit) and limit != had.get(budget.duration):
                raise _above("budgets")
        given = {budget.duration for budget in wanted}
        missing = [budget for budget in self.inherited.budgets if budget.duration not in given]
        return (*wanted, *(msgspec.structs.replace(budget, anchor_at=0.0) for budget in missing))

    def _models(self, wanted: tuple[str, ...], before: Limits | None) -> tuple[str, ...]:
        if self.models is None or (before is not None and set(wanted) == set(before.models)):
            return wanted
        if not wanted and self.models:
            return tuple(sorted(self.models))
        if not wanted:
            # An empty list means all: who may name no model cannot say "none" to others.
            raise _above("models")
        if not self.models.issuperset(wanted):
            raise _above("models")
        return wanted


def tightest(every: Iterable[Limits]) -> Limits:
    """For each limit the smallest of all, for each duration the smallest budget; models are left out."""
    found = list(every)
    bounds: dict[str, Any] = {name: _smallest(getattr(limits, name) for limits in found) for name in _BOUNDS}
    budgets: dict[str, Budget] = {}
    for budget in (budget for limits in found for budget in limits.budgets):
        known = budgets.get(budget.duration)
        if known is None or budget.limit_nanodollars < known.limit_nanodollars:
            budgets[budget.duration] = budget
    return Limits(**bounds, budgets=tuple(budgets.values()))


def _by_duration(limits: Limits | None) -> dict[str, int]:
    return {budget.duration: budget.limit_nanodollars for budget in limits.budgets} if limits else {}


def _smallest(values: Iterable[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)


def _above(param: str) -> PlatformError:
    return PlatformError(
        Reason.PERMISSION_DENIED,
        f"'{param}' would pass what your own key, user or tenant is limited to. Ask for no more than that, or let an "
        "admin raise it.",
        started=False,
        param=param,
    )
