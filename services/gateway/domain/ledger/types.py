"""What goes into the ledger and what comes out. Amounts are nano-dollars.

Made for every call and never changed: not frozen, because that triples the cost of making them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec


class UsageMeta(msgspec.Struct, array_like=True):
    """Whose call it is and what it is priced at: kept with the hold, published with its end.

    Array-like: new fields go to the end and have a default.
    """

    key: str
    user: str
    end_user: str
    model: str
    session: str
    root_session: str
    tags: dict[str, str]
    # Nano-dollars per million tokens.
    input_price: int
    cached_price: int
    output_price: int


@dataclass(slots=True)
class Ask:
    """A hold that is wanted: `amount` and `tokens` bound prompt and answer as far as they are to be delivered.

    `scopes` from the widest on: "t", then "u:<user>", "k:<key>", "s:<root session>" where there is one. A hold that
    draws on `reservation` takes from it what it has left, and the rest from the limits.
    """

    tenant: str
    request_id: str
    scopes: tuple[str, ...]
    amount: int
    tokens: int
    meta: UsageMeta
    reservation: str = ""


@dataclass(slots=True)
class Progress:
    """What a call has used so far. `cost` is at the prices of its hold."""

    cost: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(slots=True)
class Rate:
    """One per-minute limit now; `reset_seconds` until it is whole again."""

    limit: int
    remaining: int
    reset_seconds: float


@dataclass(slots=True)
class Standing:
    """What is left after a hold, the tightest of all scopes. None = no scope has such a limit."""

    requests: Rate | None = None
    tokens: Rate | None = None
    budget_remaining: int | None = None


class End(StrEnum):
    """How a hold ended."""

    SETTLED = "settled"
    REFUNDED = "refunded"
    EXPIRED = "expired"


@dataclass(slots=True)
class Settlement:
    """The end of a hold. `platform` is what the operator bears: failed attempts, cancelled excess."""

    tenant: str
    request_id: str
    progress: Progress = field(default_factory=Progress)
    platform: int = 0


class OutboxEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a tenant's outbox, in order. (`request_id`, `sequence`) is its identity.

    `kind`: "settled", "refunded", "expired", "corrected", "soft_budget", "account". `windows` are, per scope, the
    windows (duration -> index) that the cost counts in. `account` is a Change as JSON, for kind "account" only.
    """

    id: str
    kind: str
    request_id: str
    sequence: int
    at_us: int
    cost: int = 0
    platform: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    meta: UsageMeta | None = None
    windows: dict[str, dict[str, int]] = {}
    account: bytes = b""
