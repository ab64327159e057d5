"""What callers may say of a record: these fields and no others. UNSET = leave as it is, or take the default.

Tenant, id, HMAC, `blocked` and times are no part of a spec: nothing that a caller sends can set them in passing.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.records import Budget, Key, Limits, RecordPolicy, Role, Tenant, User

R = TypeVar("R", bound=Tenant | User | Key)
S = TypeVar("S", bound=msgspec.Struct)


class LimitsSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Some of a scope's limits; None takes a limit away. `budgets` replaces all; Budgets sets single ones."""

    requests_per_minute: int | UnsetType | None = UNSET
    tokens_per_minute: int | UnsetType | None = UNSET
    parallel_requests: int | UnsetType | None = UNSET
    budgets: tuple[Budget, ...] | UnsetType = UNSET
    session_budget_nanodollars: int | UnsetType | None = UNSET
    request_budget_nanodollars: int | UnsetType | None = UNSET
    models: tuple[str, ...] | UnsetType = UNSET


class TenantSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be said of a tenant."""

    name: str | UnsetType = UNSET
    limits: LimitsSpec | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    records: RecordPolicy | UnsetType = UNSET
    reservations_max_nanodollars: int | UnsetType | None = UNSET
    priority: int | UnsetType = UNSET


class UserSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be said of a user."""

    name: str | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    limits: LimitsSpec | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET


class KeySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be said of a key. `expires_at` is Unix seconds; None = never."""

    name: str | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    limits: LimitsSpec | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    expires_at: float | UnsetType | None = UNSET
    cached_answers: bool | UnsetType = UNSET


def applied(record: R, spec: TenantSpec | UserSpec | KeySpec, at: float) -> R:
    """The record with what the spec says. Budgets without an anchor begin their windows `at` (Unix seconds).

    Raises INVALID_REQUEST where a value has the wrong type; whether it is sensible is `checks.check_record`'s to say.
    """
    told = _told(_typed(spec))
    if "limits" in told:
        told["limits"] = limited(record.limits, told["limits"], at)
    return msgspec.structs.replace(record, **told)


def limited(limits: Limits, spec: LimitsSpec, at: float) -> Limits:
    """The limits with what the spec says."""
    told = _told(spec)
    if "budgets" in told:
        told["budgets"] = tuple(anchored(budget, limits, at) for budget in told["budgets"])
    return msgspec.structs.replace(limits, **told)


def anchored(budget: Budget, limits: Limits, at: float) -> Budget:
    """The budget with the anchor of the one it replaces, else with its own, else with `at`.

    A changed ceiling therefore moves no window: raising it does not forget what was spent.
    """
    for before in limits.budgets:
        if before.duration == budget.duration:
            return msgspec.structs.replace(budget, anchor_at=before.anchor_at)
    return budget if budget.anchor_at else msgspec.structs.replace(budget, anchor_at=at)


def _typed(spec: S) -> S:
    """The spec, surely of the types it declares: structs check nothing when they are made in Python."""
    try:
        return msgspec.convert(msgspec.to_builtins(spec), type(spec))
    except (msgspec.ValidationError, TypeError) as problem:
        raise PlatformError(Reason.INVALID_REQUEST, f"A field has the wrong type: {problem}.", started=False) from None


def _told(spec: msgspec.Struct) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(spec).items() if value is not UNSET}
