"""`headrace.gateway.v1` account messages to what the desk takes, and records to messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from google.protobuf.message import Message
from headrace.gateway.v1 import accounts_pb2 as pb
from msgspec import UNSET, UnsetType

from services.gateway.domain.accounts.audit import AuditEntry
from services.gateway.domain.accounts.records import (
    TOTAL,
    Budget,
    Key,
    Limits,
    Price,
    RecordPolicy,
    Role,
    Tenant,
    User,
)
from services.gateway.domain.accounts.specs import KeySpec, LimitsSpec, TenantSpec, UserSpec
from services.gateway.domain.accounts.spend import Dimension, ScopeSpend, SpendRow
from services.gateway.wire.refusals import invalid

_ROLES = {
    pb.ROLE_ADMIN: Role.ADMIN,
    pb.ROLE_TENANT_ADMIN: Role.TENANT_ADMIN,
    pb.ROLE_MEMBER: Role.MEMBER,
    pb.ROLE_SERVICE: Role.SERVICE,
}
_ROLE_NUMBERS = {role: number for number, role in _ROLES.items()}
_DIMENSIONS = {getattr(pb, f"DIMENSION_{dimension.name}"): dimension for dimension in Dimension}
_BOUNDS = (
    "requests_per_minute",
    "tokens_per_minute",
    "parallel_requests",
    "session_budget_nanodollars",
    "request_budget_nanodollars",
)


def tenant_spec(message: pb.CreateTenantRequest | pb.UpdateTenantRequest) -> TenantSpec:
    """What a message says of a tenant. Raises INVALID_REQUEST, as all of these do."""
    told = _named(message, "name", "priority", "reservations_max_nanodollars")
    if message.HasField("limits"):
        told["limits"] = limits_spec(message.limits)
    if message.HasField("records"):
        policy = message.records
        told["records"] = RecordPolicy(
            enabled=policy.enabled, store_prompts=policy.store_prompts, retention_days=policy.retention_days
        )
    if isinstance(message, pb.UpdateTenantRequest) and message.reservations_unbounded:
        told["reservations_max_nanodollars"] = None
    return TenantSpec(**told, metadata=_tags(message))


def user_spec(message: pb.CreateUserRequest | pb.UpdateUserRequest) -> UserSpec:
    """What a message says of a user."""
    told = _named(message, "name")
    if message.HasField("limits"):
        told["limits"] = limits_spec(message.limits)
    return UserSpec(**told, role=_role(message.role), metadata=_tags(message))


def key_spec(message: pb.CreateKeyRequest | pb.UpdateKeyRequest) -> KeySpec:
    """What a message says of a key."""
    told = _named(message, "name", "expires_at", "cached_answers")
    if message.HasField("limits"):
        told["limits"] = limits_spec(message.limits)
    if isinstance(message, pb.UpdateKeyRequest) and message.never_expires:
        told["expires_at"] = None
    return KeySpec(**told, role=_role(message.role), metadata=_tags(message))


def limits_spec(message: pb.Limits) -> LimitsSpec:
    """Limits that are said, and None for those that are cleared."""
    told = _named(message, *_BOUNDS)
    for name in message.cleared:
        if name not in _BOUNDS:
            raise invalid("limits.cleared", f"'limits.cleared' may hold {', '.join(_BOUNDS)}, and nothing else.")
        if name in told:
            raise invalid("limits.cleared", f"'limits.{name}' is set and cleared at once.")
        told[name] = None
    if message.HasField("budgets"):
        told["budgets"] = tuple(budget_of(budget) for budget in message.budgets.budgets)
    if message.HasField("models"):
        told["models"] = tuple(message.models.models)
    return LimitsSpec(**told)


def budget_of(message: pb.Budget) -> Budget:
    """A budget, whose windows begin when it is stored; without a duration for ever."""
    soft = message.soft_nanodollars if message.HasField("soft_nanodollars") else None
    return Budget(
        limit_nanodollars=message.limit_nanodollars, duration=message.duration or TOTAL, soft_nanodollars=soft
    )


def price_of(message: pb.Price) -> Price:
    """A price."""
    return Price(
        model=message.model,
        input_nanodollars=message.input_nanodollars,
        cached_nanodollars=message.cached_nanodollars,
        output_nanodollars=message.output_nanodollars,
    )


def dimension_of(number: pb.Dimension) -> Dimension:
    """What is summed by; models where nothing is said."""
    if number == pb.DIMENSION_UNSPECIFIED:
        return Dimension.MODEL
    if number not in _DIMENSIONS:
        raise invalid("by", "'by' is no dimension that this gateway knows.")
    return _DIMENSIONS[number]


def tenant_message(tenant: Tenant) -> pb.Tenant:
    """A tenant."""
    return pb.Tenant(
        id=tenant.id,
        name=tenant.name,
        limits=limits_message(tenant.limits),
        metadata=tenant.metadata,
        blocked=tenant.blocked,
        records=pb.RecordPolicy(**msgspec.structs.asdict(tenant.records)),
        reservations_max_nanodollars=tenant.reservations_max_nanodollars,
        priority=tenant.priority,
        created_at=tenant.created_at,
    )


def user_message(user: User) -> pb.User:
    """A user."""
    return pb.User(
        tenant=user.tenant,
        id=user.id,
        name=user.name,
        role=_ROLE_NUMBERS[user.role],
        limits=limits_message(user.limits),
        metadata=user.metadata,
        blocked=user.blocked,
        created_at=user.created_at,
    )


def key_message(key: Key) -> pb.Key:
    """A key without anything of its text but the hint."""
    return pb.Key(
        tenant=key.tenant,
        id=key.id,
        user=key.user,
        name=key.name,
        hint=key.hint,
        role=_ROLE_NUMBERS[key.role],
        limits=limits_message(key.limits),
        metadata=key.metadata,
        blocked=key.blocked,
        expires_at=key.expires_at,
        previous_until=key.previous_until if key.previous_hmac else None,
        cached_answers=key.cached_answers,
        created_at=key.created_at,
    )


def limits_message(limits: Limits) -> pb.Limits:
    """Limits; budgets and models are always there, maybe empty."""
    return pb.Limits(
        **{name: getattr(limits, name) for name in _BOUNDS},
        budgets=pb.Budgets(budgets=[budget_message(budget) for budget in limits.budgets]),
        models=pb.Models(models=limits.models),
    )


def budget_message(budget: Budget) -> pb.Budget:
    """A budget."""
    return pb.Budget(
        duration=budget.duration,
        limit_nanodollars=budget.limit_nanodollars,
        soft_nanodollars=budget.soft_nanodollars,
    )


def price_message(price: Price) -> pb.Price:
    """A price."""
    return pb.Price(**msgspec.structs.asdict(price))


def scope_message(spend: ScopeSpend) -> pb.ScopeSpend:
    """A scope now."""
    return pb.ScopeSpend(
        scope=spend.scope,
        settled_nanodollars=spend.settled_nanodollars,
        held_nanodollars=spend.held_nanodollars,
        running=spend.running,
        budgets=[pb.BudgetState(**msgspec.structs.asdict(budget)) for budget in spend.budgets],
    )


def row_message(row: SpendRow) -> pb.SpendRow:
    """Sums."""
    return pb.SpendRow(**msgspec.structs.asdict(row))


def audit_message(entry: AuditEntry) -> pb.AuditEntry:
    """An entry of the log."""
    return pb.AuditEntry(
        id=entry.id,
        at=entry.at,
        actor=entry.actor,
        kind=entry.kind,
        record=entry.record,
        before_json=_json(entry.before),
        after_json=_json(entry.after),
    )


def role_number(role: Role) -> pb.Role:
    """A role's number on the wire."""
    number: pb.Role = _ROLE_NUMBERS[role]
    return number


def _named(message: Message, *names: str) -> dict[str, Any]:
    """Fields that are said. A plain field that is empty says nothing."""
    return {name: getattr(message, name) for name in names if _says(message, name)}


def _says(message: Message, name: str) -> bool:
    field = message.DESCRIPTOR.fields_by_name[name]
    return message.HasField(name) if field.has_presence else bool(getattr(message, name))


def _role(number: pb.Role) -> Role | UnsetType:
    if number == pb.ROLE_UNSPECIFIED:
        return UNSET
    if number not in _ROLES:
        raise invalid("role", "'role' is none that this gateway knows.")
    return _ROLES[number]


def _tags(message: Any) -> dict[str, str] | UnsetType:
    """Tags of a message, whose field is a map where something is made and a message where it is changed."""
    if isinstance(message.metadata, pb.Tags):
        return dict(message.metadata.tags) if message.HasField("metadata") else UNSET
    return dict(message.metadata)


def _json(record: Mapping[str, object] | None) -> str:
    return "" if record is None else msgspec.json.encode(record).decode()
