"""Neutral turns: every wire protocol is decoded into these, and nothing below the wire knows a protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from services.gateway.domain.accounts.records import RecordPolicy
from services.gateway.domain.accounts.records import Role as AccountRole

_ALL_RECORDS = RecordPolicy()


class Role(StrEnum):
    """Speaker of a turn."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A complete call; `arguments_json` is a JSON object as text."""

    id: str
    name: str
    arguments_json: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One message; `text` is "" where an assistant turn holds tool calls only."""

    role: Role
    text: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function on offer; `parameters_json` is a JSON Schema as text, "" = none."""

    name: str
    description: str
    parameters_json: str
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`mode`: "none", "auto", "required" or "named" (then `name`)."""

    mode: str = "none"
    name: str = ""
    parallel: bool = True


@dataclass(frozen=True, slots=True)
class Guided:
    """A grammar for the output: at most one field is set."""

    json_schema: str | None = None
    json_object: bool = False


@dataclass(frozen=True, slots=True)
class Sampling:
    """What the client asked for; None = not said."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float | None = None
    logit_bias: dict[int, float] = field(default_factory=dict)
    logprobs: int | None = None
    n: int = 1
    min_tokens: int = 0
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class SessionClaim:
    """What the request says of its session. `explicit` ids carry state; else `affinity_key` only places.

    `source` names where the id came from ("x-session-id", "body", "metadata", …; "affinity", "none").
    """

    explicit: str = ""
    source: str = "none"
    affinity_key: str = ""
    root: str = ""


@dataclass(frozen=True, slots=True)
class Constraints:
    """What the caller sets for this one call: nano-dollars that it may cost at most, and the least tier; "" = any."""

    max_cost: int | None = None
    min_tier: str = ""


NO_CONSTRAINTS = Constraints()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat call, free of any wire protocol. `ignored_fields` are body fields nobody here knows."""

    model: str
    turns: tuple[Turn, ...]
    sampling: Sampling = field(default_factory=Sampling)
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    guided: Guided | None = None
    session: SessionClaim = field(default_factory=SessionClaim)
    user: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    ignored_fields: tuple[str, ...] = ()
    # The client gets the answer piece by piece; else whole, or an error.
    streamed: bool = True
    constraints: Constraints = NO_CONSTRAINTS


@dataclass(frozen=True, slots=True)
class Reserved:
    """What pays for a call that nobody waits for, at which share of the price (millionths).

    Such a call gives way to live ones: it takes a place that none of them wants, and never waits for one.
    """

    reservation: str
    price_ppm: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: a key of a tenant. `key_id` is not secret. Sessions are bound to (tenant, key_id, user).

    `account_user` is the user that the key belongs to, "" = none. `models` are those the key may name, None = all.
    `tags` flow into usage; `priority` orders waiting calls, higher first; `records` says what is kept of requests.
    `cached_answers`: takes a stored answer to the same request where no worker can answer, and lets its own be stored.
    `reserved` None = a live call.
    """

    tenant: str
    key_id: str
    account_user: str = ""
    role: AccountRole = AccountRole.SERVICE
    models: frozenset[str] | None = None
    tags: tuple[tuple[str, str], ...] = ()
    priority: int = 0
    records: RecordPolicy = _ALL_RECORDS
    cached_answers: bool = False
    reserved: Reserved | None = None
