"""What `/v1/admin` answers. Amounts are decimal strings in dollars; HMACs are in none of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel

from libs.money import to_dollars
from services.gateway.domain.accounts.audit import AuditEntry
from services.gateway.domain.accounts.records import Budget, Key, Limits, Price, Role, Tenant, User
from services.gateway.domain.accounts.spend import BudgetState, Dimension, ScopeSpend, SpendRow

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """One page. `next` goes into `after` for the following one; null = there is none."""

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool = False
    next: str | None = None


class BudgetOut(BaseModel):
    """A ceiling per window; windows follow each other from `anchor_at` (Unix seconds) on."""

    duration: str
    limit_usd: str
    soft_usd: str | None = None
    anchor_at: float

    @classmethod
    def of(cls, budget: Budget) -> BudgetOut:
        """From the record."""
        return cls(
            duration=budget.duration,
            limit_usd=to_dollars(budget.limit_nanodollars),
            soft_usd=dollars(budget.soft_nanodollars),
            anchor_at=budget.anchor_at,
        )


class LimitsOut(BaseModel):
    """null = not limited here; `models` empty = all that the levels above allow."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    parallel_requests: int | None
    budgets: list[BudgetOut]
    session_budget_usd: str | None
    request_budget_usd: str | None
    models: list[str]

    @classmethod
    def of(cls, limits: Limits) -> LimitsOut:
        """From the record."""
        return cls(
            requests_per_minute=limits.requests_per_minute,
            tokens_per_minute=limits.tokens_per_minute,
            parallel_requests=limits.parallel_requests,
            budgets=[BudgetOut.of(budget) for budget in limits.budgets],
            session_budget_usd=dollars(limits.session_budget_nanodollars),
            request_budget_usd=dollars(limits.request_budget_nanodollars),
            models=list(limits.models),
        )


class RecordPolicyOut(BaseModel):
    """What is kept of a tenant's requests."""

    enabled: bool
    store_prompts: bool
    retention_days: int


class TenantOut(BaseModel):
    """A tenant."""

    object: Literal["tenant"] = "tenant"
    id: str
    name: str
    limits: LimitsOut
    metadata: dict[str, str]
    blocked: bool
    records: RecordPolicyOut
    reservations_max_usd: str | None
    priority: int
    created_at: float

    @classmethod
    def of(cls, tenant: Tenant) -> TenantOut:
        """From the record."""
        policy = tenant.records
        return cls(
            id=tenant.id,
            name=tenant.name,
            limits=LimitsOut.of(tenant.limits),
            metadata=tenant.metadata,
            blocked=tenant.blocked,
            records=RecordPolicyOut(
                enabled=policy.enabled, store_prompts=policy.store_prompts, retention_days=policy.retention_days
            ),
            reservations_max_usd=dollars(tenant.reservations_max_nanodollars),
            priority=tenant.priority,
            created_at=tenant.created_at,
        )


class UserOut(BaseModel):
    """A user."""

    object: Literal["user"] = "user"
    tenant: str
    id: str
    name: str
    role: Role
    limits: LimitsOut
    metadata: dict[str, str]
    blocked: bool
    created_at: float

    @classmethod
    def of(cls, user: User) -> UserOut:
        """From the record."""
        return cls(
            tenant=user.tenant,
            id=user.id,
            name=user.name,
            role=user.role,
            limits=LimitsOut.of(user.limits),
            metadata=user.metadata,
            blocked=user.blocked,
            created_at=user.created_at,
        )


class KeyOut(BaseModel):
    """A key without its text, of which `hint` is the last four characters."""

    object: Literal["key"] = "key"
    tenant: str
    id: str
    user: str | None
    name: str
    hint: str
    role: Role
    limits: LimitsOut
    metadata: dict[str, str]
    blocked: bool
    expires_at: float | None
    previous_until: float | None
    cached_answers: bool
    created_at: float

    @classmethod
    def of(cls, key: Key) -> KeyOut:
        """From the record."""
        return cls(
            tenant=key.tenant,
            id=key.id,
            user=key.user or None,
            name=key.name,
            hint=key.hint,
            role=key.role,
            limits=LimitsOut.of(key.limits),
            metadata=key.metadata,
            blocked=key.blocked,
            expires_at=key.expires_at,
            previous_until=key.previous_until if key.previous_hmac else None,
            cached_answers=key.cached_answers,
            created_at=key.created_at,
        )


class KeyMade(BaseModel):
    """A fresh key: `secret` is its text and is shown this once."""

    object: Literal["key.made"] = "key.made"
    secret: str
    key: KeyOut


class Deleted(BaseModel):
    """What is gone."""

    object: Literal["deleted"] = "deleted"
    id: str
    deleted: Literal[True] = True


class PriceOut(BaseModel):
    """Dollars per million tokens."""

    object: Literal["price"] = "price"
    model: str
    input_usd: str
    cached_usd: str
    output_usd: str

    @classmethod
    def of(cls, price: Price) -> PriceOut:
        """From the record."""
        return cls(
            model=price.model,
            input_usd=to_dollars(price.input_nanodollars),
            cached_usd=to_dollars(price.cached_nanodollars),
            output_usd=to_dollars(price.output_nanodollars),
        )


class BudgetStateOut(BaseModel):
    """A budget now. `remaining_usd` is below zero where a ceiling was lowered under what is spent."""

    duration: str
    limit_usd: str
    soft_usd: str | None = None
    settled_usd: str
    held_usd: str
    remaining_usd: str
    resets_at: float | None

    @classmethod
    def of(cls, state: BudgetState, soft: int | None = None) -> BudgetStateOut:
        """From the ledger."""
        left = state.limit_nanodollars - state.settled_nanodollars - state.held_nanodollars
        return cls(
            duration=state.duration,
            limit_usd=to_dollars(state.limit_nanodollars),
            soft_usd=dollars(soft),
            settled_usd=to_dollars(state.settled_nanodollars),
            held_usd=to_dollars(state.held_nanodollars),
            remaining_usd=to_dollars(left),
            resets_at=state.resets_at,
        )


class ScopeOut(BaseModel):
    """A scope now: "t" is the tenant, "u:ada" a user, "k:key_1" a key."""

    scope: str
    settled_usd: str
    held_usd: str
    running: int
    budgets: list[BudgetStateOut]

    @classmethod
    def of(cls, spend: ScopeSpend, budgets: Iterable[Budget] = ()) -> ScopeOut:
        """From the ledger; `budgets` are the records, which know the soft limits."""
        soft = {budget.duration: budget.soft_nanodollars for budget in budgets}
        return cls(
            scope=spend.scope,
            settled_usd=to_dollars(spend.settled_nanodollars),
            held_usd=to_dollars(spend.held_nanodollars),
            running=spend.running,
            budgets=[BudgetStateOut.of(state, soft.get(state.duration)) for state in spend.budgets],
        )


class BudgetsOut(BaseModel):
    """Budgets as they are set, and where they stand; `state` is null where the ledger knows nothing of the scope."""

    object: Literal["budgets"] = "budgets"
    tenant: str
    user: str | None
    key: str | None
    budgets: list[BudgetOut]
    state: ScopeOut | None


class SpendRowOut(BaseModel):
    """Sums. `day` is null for sums over several days; cached tokens are a part of the prompt's.

    `platform_usd` is what the operator bore (failed attempts, cancelled excess); it is charged to nobody.
    """

    day: str | None
    value: str
    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: str
    platform_usd: str

    @classmethod
    def of(cls, row: SpendRow) -> SpendRowOut:
        """From the ledger."""
        return cls(
            day=row.day or None,
            value=row.value,
            requests=row.requests,
            prompt_tokens=row.prompt_tokens,
            cached_tokens=row.cached_tokens,
            completion_tokens=row.completion_tokens,
            cost_usd=to_dollars(row.cost_nanodollars),
            platform_usd=to_dollars(row.platform_nanodollars),
        )


class UsageOut(BaseModel):
    """Rows of a range of days, both included, UTC."""

    object: Literal["usage", "spend"]
    by: Dimension
    first_day: str
    last_day: str
    cost_usd: str
    data: list[SpendRowOut]


class AuditOut(BaseModel):
    """Who changed what. `before` null = it was made, `after` null = it was deleted."""

    object: Literal["audit.entry"] = "audit.entry"
    id: str
    at: float
    actor: str
    kind: str
    record: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @classmethod
    def of(cls, entry: AuditEntry) -> AuditOut:
        """From the log."""
        return cls(
            id=entry.id,
            at=entry.at,
            actor=entry.actor,
            kind=entry.kind,
            record=entry.record,
            before=entry.before,
            after=entry.after,
        )


class Me(BaseModel):
    """Whose key this is, what bounds it and what is left. `models` null = all."""

    object: Literal["me"] = "me"
    tenant: str
    key: str
    user: str | None
    role: Role
    models: list[str] | None
    limits: dict[str, LimitsOut]
    spend: list[ScopeOut]


def dollars(amount: int | None) -> str | None:
    """The amount in dollars, None where there is none."""
    return None if amount is None else to_dollars(amount)
