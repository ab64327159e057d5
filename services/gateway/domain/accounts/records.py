"""The records of accounts, as they are stored and shown. Times are Unix seconds, amounts nano-dollars."""

from __future__ import annotations

from enum import StrEnum

import msgspec

TOTAL = "total"


class Role(StrEnum):
    """What a key may do beyond calling models; see access.py."""

    ADMIN = "admin"
    TENANT_ADMIN = "tenant_admin"
    MEMBER = "member"
    SERVICE = "service"


class Kind(StrEnum):
    """The kinds of records. Prices belong to the platform: their tenant is PLATFORM."""

    TENANT = "tenant"
    USER = "user"
    KEY = "key"
    PRICE = "price"


# The tenant that owns what belongs to no tenant. No real tenant can have its name: ids begin with a letter or digit.
PLATFORM = "_platform"


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """A ceiling per window of `duration` ("30s", "30m", "30h", "30d"; "total" = for ever, counted from the beginning).

    Windows follow each other from `anchor_at` on. Crossing `soft_nanodollars` is an event, not a refusal.
    """

    limit_nanodollars: int
    duration: str = TOTAL
    soft_nanodollars: int | None = None
    anchor_at: float = 0.0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds one scope; None = not bounded here. `models` empty = all that the scopes above allow.

    `session_budget_nanodollars` bounds each session tree of the scope, `request_budget_nanodollars` each request.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel_requests: int | None = None
    budgets: tuple[Budget, ...] = ()
    session_budget_nanodollars: int | None = None
    request_budget_nanodollars: int | None = None
    models: tuple[str, ...] = ()


class RecordPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a tenant's requests: nothing, numbers only, or prompts and answers too, for how many days."""

    enabled: bool = True
    store_prompts: bool = True
    retention_days: int = 30


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """Who pays. `reservations_max_nanodollars` bounds what jobs may reserve in all; None = as much as budgets leave."""

    id: str
    name: str = ""
    limits: Limits = Limits()
    metadata: dict[str, str] = {}
    blocked: bool = False
    records: RecordPolicy = RecordPolicy()
    reservations_max_nanodollars: int | None = None
    priority: int = 0
    created_at: float = 0.0


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person or a group of keys within a tenant."""

    tenant: str
    id: str
    name: str = ""
    role: Role = Role.MEMBER
    limits: Limits = Limits()
    metadata: dict[str, str] = {}
    blocked: bool = False
    created_at: float = 0.0


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An API key. Its text is stored nowhere: `hmac` is HMAC-SHA-256 under the pepper, `hint` its last four characters.

    After a rotation `previous_hmac` is accepted until `previous_until`. `metadata` are tags that flow into usage.
    `cached_answers`: where no worker can answer, a stored answer of its tenant to the same request will do.
    """

    tenant: str
    id: str
    hmac: str
    user: str = ""
    name: str = ""
    hint: str = ""
    role: Role = Role.SERVICE
    limits: Limits = Limits()
    metadata: dict[str, str] = {}
    blocked: bool = False
    expires_at: float | None = None
    previous_hmac: str = ""
    previous_until: float = 0.0
    cached_answers: bool = False
    created_at: float = 0.0


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a model or pool costs, in nano-dollars per million tokens. `cached` is for prompt tokens found cached."""

    model: str
    input_nanodollars: int
    cached_nanodollars: int
    output_nanodollars: int


Record = Tenant | User | Key | Price


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one record, stored and audited as one: `before` None = made, `after` None = deleted.

    It counts only while the stored record still is `before`. `actor` is a key id, or "install" and the like.
    """

    kind: Kind
    tenant: str
    id: str
    actor: str
    at: float
    before: Record | None = None
    after: Record | None = None
