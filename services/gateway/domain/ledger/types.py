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


class Terms(msgspec.Struct, array_like=True, frozen=True):
    """In whose name a reservation's calls are made, the share of the price (millionths) that was promised for them, and
    the models that they name and that there were.

    Array-like: new fields go to the end and have a default.
    """

    key: str = ""
    user: str = ""
    price_ppm: int = 1_000_000
    models: tuple[str, ...] = ()


@dataclass(slots=True)
class ReservationState:
    """A reservation as the ledger has it; `left` nano-dollars are not drawn, 0 where it is not `open` any more."""

    open: bool
    left: int
    terms: Terms


@dataclass(slots=True)
class Progress:
    """What a call has used so far. `cost` is at the prices of its hold."""

    cost: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(slots=True)
class Ask:
    """A hold that is wanted: `amount` and `tokens` bound prompt and answer as far as they are to be delivered.

    `scopes` from the widest on: "t", then "u:<user>", "k:<key>", "s:<root session>" where there is one. A hold that
    draws on `reservation` takes from it what it has left, and the rest from the budgets; no other limit counts it.
    `prompt` is what the call is charged if it is never heard of again. `inherited`: a gateway that was lost may have
    held it, and delivered a part.
    """

    tenant: str
    request_id: str
    scopes: tuple[str, ...]
    amount: int
    tokens: int
    meta: UsageMeta
    prompt: Progress
    reservation: str = ""
    inherited: bool = False


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


class Outcome(StrEnum):
    """What the store says to a call of one of its functions.

    `LIFE`: it was asked in the name of an earlier life of the store, and has done nothing. `NO`: a limit says so.
    `OFF`: a scope of a running call is blocked, deleted or expired, so that it may not hold more.
    `ENDED`: the hold is over. `UNKNOWN`: there is no such hold.
    """

    OK = "ok"
    NO = "no"
    OFF = "off"
    ENDED = "ended"
    UNKNOWN = "unknown"
    LIFE = "life"


@dataclass(slots=True)
class Refusal:
    """Why something was not held. `kind`: "off" (`limit` says why), "requests", "parallel", "tokens", "request",
    "reserved", "budget" (spent), or "held" (by running calls, of which some may come back).

    `wait_us` until it would fit, for budgets until their window ends; -1 = not by waiting.
    """

    kind: str
    scope: str
    limit: int | str
    wait_us: int
    duration: str = ""


class End(StrEnum):
    """How a hold ended."""

    SETTLED = "settled"
    REFUNDED = "refunded"
    EXPIRED = "expired"


@dataclass(slots=True)
class HoldReply:
    """`amount` and `tokens` are held; a repeat tells what the first one holds by then. `at_us` is the store's time.

    `ended`: how a hold of this id has ended, with the outcome ENDED.
    """

    outcome: Outcome
    at_us: int = 0
    standing: Standing = field(default_factory=Standing)
    amount: int = 0
    tokens: int = 0
    refusal: Refusal | None = None
    ended: End | None = None


@dataclass(slots=True)
class Settlement:
    """The end of a hold. `platform` is what the operator bears: failed attempts, cancelled excess."""

    tenant: str
    request_id: str
    end: End = End.SETTLED
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


@dataclass(slots=True)
class Overdue:
    """A hold whose lease is over. `lease_us` is its end, `progress` the last that was reported, `age_us` since it was
    held.
    """

    request_id: str
    lease_us: int
    meta: UsageMeta
    progress: Progress
    age_us: int = 0


@dataclass(slots=True)
class ScopeTotals:
    """A scope as the ledger has it: settled in its life, held, running calls, and per duration its present window as
    (start in microseconds, settled, held).
    """

    settled: int
    held: int
    running: int
    windows: dict[str, tuple[int, int, int]]
