"""What a record may say: every value within bounds that the store and the ledger can keep. Raises INVALID_REQUEST."""

from __future__ import annotations

import math

from libs.errors import PlatformError, Reason
from libs.money import NANODOLLARS_MAX
from services.gateway.domain.accounts.durations import DurationError, seconds_of
from services.gateway.domain.accounts.ids import check_id, check_model
from services.gateway.domain.accounts.records import Budget, Key, Limits, Price, Record, RecordPolicy, Tenant
from services.gateway.domain.fair_queue import PRIORITY_MAX

# A minute of units x microseconds must stay below 2^53, where the store counts exactly (docs/ledger.md).
RATE_MAX = 150_000_000
PARALLEL_MAX = 1_000_000
BUDGETS_MAX = 8
MODELS_MAX = 256
TAGS_MAX = 16
TAG_NAME_CHARS_MAX = 64
TAG_VALUE_CHARS_MAX = 256
NAME_CHARS_MAX = 128
RETENTION_DAYS_MAX = 3650
# 1 January 3000: what is later is milliseconds by mistake.
TIME_MAX = 32_503_680_000.0


def check_record(record: Record) -> None:
    """Raises INVALID_REQUEST, naming the field, where the record cannot be kept."""
    if isinstance(record, Price):
        check_price(record)
        return
    check_id(record.id, "id")
    _check_text(record.name, "name", NAME_CHARS_MAX)
    check_tags(record.metadata)
    _check_limits(record.limits)
    if isinstance(record, Tenant):
        _check_tenant(record)
    else:
        check_id(record.tenant, "tenant")
    if isinstance(record, Key):
        _check_key(record)


def check_price(price: Price) -> None:
    """Raises INVALID_REQUEST where a price cannot be kept."""
    check_model(price.model)
    for name in ("input_nanodollars", "cached_nanodollars", "output_nanodollars"):
        _check_whole(getattr(price, name), name, 0, NANODOLLARS_MAX)


def check_tags(tags: dict[str, str]) -> None:
    """Raises INVALID_REQUEST for tags that are too many, too long, or hold what cannot be printed."""
    if len(tags) > TAGS_MAX:
        raise invalid("metadata", f"has {len(tags)} tags; at most {TAGS_MAX} are kept")
    for name, value in tags.items():
        if not name or "=" in name:
            # Spend is shown by "name=value": with "=" in a name two tags could look the same.
            raise invalid("metadata", "has a tag whose name is empty or holds '='")
        _check_text(name, "metadata", TAG_NAME_CHARS_MAX)
        _check_text(value, "metadata", TAG_VALUE_CHARS_MAX)


def check_budget(budget: Budget) -> None:
    """Raises INVALID_REQUEST for a budget that cannot be kept."""
    try:
        seconds_of(budget.duration)
    except DurationError as problem:
        raise invalid("duration", str(problem)) from None
    _check_whole(budget.limit_nanodollars, "budget", 0, NANODOLLARS_MAX)
    if budget.soft_nanodollars is not None and not _is_whole(budget.soft_nanodollars, 0, budget.limit_nanodollars):
        raise invalid("soft budget", "must be from 0 to the budget it belongs to")
    _check_time(budget.anchor_at, "anchor_at")


def invalid(field: str, problem: str) -> PlatformError:
    """The 400 for a field."""
    return PlatformError(Reason.INVALID_REQUEST, f"{field} {problem}.", started=False, param=field)


def _check_tenant(tenant: Tenant) -> None:
    _check_optional(tenant.reservations_max_nanodollars, "reservations_max", 0, NANODOLLARS_MAX)
    _check_whole(tenant.priority, "priority", -PRIORITY_MAX, PRIORITY_MAX)
    _check_policy(tenant.records)


def _check_policy(policy: RecordPolicy) -> None:
    _check_whole(policy.retention_days, "retention_days", 1, RETENTION_DAYS_MAX)


def _check_key(key: Key) -> None:
    if key.user:
        check_id(key.user, "user")
    if key.expires_at is not None:
        _check_time(key.expires_at, "expires_at")


def _check_limits(limits: Limits) -> None:
    _check_optional(limits.requests_per_minute, "requests_per_minute", 1, RATE_MAX)
    _check_optional(limits.tokens_per_minute, "tokens_per_minute", 1, RATE_MAX)
    _check_optional(limits.parallel_requests, "parallel_requests", 1, PARALLEL_MAX)
    _check_optional(limits.session_budget_nanodollars, "session_budget", 0, NANODOLLARS_MAX)
    _check_optional(limits.request_budget_nanodollars, "request_budget", 0, NANODOLLARS_MAX)
    if len(limits.budgets) > BUDGETS_MAX:
        raise invalid("budgets", f"are {len(limits.budgets)}; at most {BUDGETS_MAX} are kept")
    if len({budget.duration for budget in limits.budgets}) < len(limits.budgets):
        raise invalid("budgets", "name a duration twice; give each duration one budget")
    for budget in limits.budgets:
        check_budget(budget)
    if len(limits.models) > MODELS_MAX:
        raise invalid("models", f"are {len(limits.models)}; at most {MODELS_MAX} are kept")
    for model in limits.models:
        check_model(model, "models")


def _check_optional(value: int | None, field: str, lowest: int, highest: int) -> None:
    if value is not None:
        _check_whole(value, field, lowest, highest)


def _check_whole(value: int, field: str, lowest: int, highest: int) -> None:
    if not _is_whole(value, lowest, highest):
        raise invalid(field, f"must be a whole number from {lowest} to {highest}")


def _is_whole(value: int, lowest: int, highest: int) -> bool:
    # `type`, because True is an int, too.
    return type(value) is int and lowest <= value <= highest


def _check_time(value: float, field: str) -> None:
    if not math.isfinite(value) or not 0 <= value <= TIME_MAX:
        raise invalid(field, "must be a time in Unix seconds")


def _check_text(text: str, field: str, chars_max: int) -> None:
    if len(text) > chars_max or not text.isprintable():
        raise invalid(field, f"must be at most {chars_max} printable characters")
