"""What the pipeline tells a wire protocol, in order: `Started`, any number of `Delta`, then `Ended`; or PlatformError.

An error raised before `Started` has sent nothing to the client; one raised later must end the stream with an error
event, never with a clean end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.inference.v1.inference_pb2 import GenerateResponse

from services.gateway.domain.ledger.types import Standing


@dataclass(slots=True)
class Started:
    """The first delta has come (or the answer is certain to): true things for the response headers."""

    request_id: str
    model: str
    worker: str
    session_id: str
    session_source: str
    cached_tokens: int
    standing: Standing = field(default_factory=Standing)
    # Digest of the model that answers: another one cannot go on with the answer.
    model_digest: str = ""
    # The answer comes from the log of its idempotency key.
    replayed: bool = False
    # Which model answers and why; see domain/route.py.
    route: str = ""


@dataclass(slots=True)
class Delta:
    """A delta as the worker sent it (docs/architecture.md): stale epochs and holes are already dealt with."""

    response: GenerateResponse


@dataclass(slots=True)
class Ended:
    """Usage over all attempts (prompt once, all delivered tokens, first attempt's cached tokens) and the report."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    worker: str
    session_id: str
    session_source: str
    attempts: int
    first_token_ms: float
    total_ms: float
    resumed: bool = False
    estimated: bool = False
    ignored_fields: tuple[str, ...] = field(default_factory=tuple)
    # Wait in the gateway's queue, a part of first_token_ms.
    queued_ms: float = 0.0
    # Nano-dollars that the customer pays.
    cost: int = 0
    # Why the answer was cut short of its max_tokens, "" = it was not: "budget",
    # "access_ended" (key, user or tenant blocked, deleted or expired), or "store_unavailable".
    truncated: str = ""
    # As of Started; and the request whose stored answer this is, "" = it is the call's own.
    route: str = ""
    cached_answer: str = ""


Event = Started | Delta | Ended
