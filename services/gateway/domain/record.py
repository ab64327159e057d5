"""What is known of a call when it is over: the explain record's ground, without a word of the prompt."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.gateway.domain.attempts import PastAttempt
from services.gateway.domain.route import Route
from services.gateway.domain.turns import ChatRequest, Principal


@dataclass(slots=True)
class CallRecord:
    """One call. Times are `Clock.monotonic` seconds, 0 = never came to it; `error` is the reason, "" = a good end."""

    request_id: str
    tenant: str
    model: str
    session: str = ""
    session_source: str = "none"
    started_at: float = 0.0
    placed_at: float = 0.0
    first_delta_at: float = 0.0
    ended_at: float = 0.0
    # Of the last attempt: its worker, the worker's life, and the time from its opening to its first delta.
    worker: str = ""
    boot_id: str = ""
    first_token_ms: float | None = None
    placed_by: str = ""
    attempts: int = 0
    past: list[PastAttempt] = field(default_factory=list)
    resumes: int = 0
    reproducible: bool = True
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    reprefill_tokens: int = 0
    stale_deltas: int = 0
    # In the gateway's own queue, because every worker was full.
    queued_ms: float = 0.0
    # The client gets the answer piece by piece.
    streamed: bool = True
    # Models that were held for.
    variants: int = 0
    # Nano-dollars that the customer pays.
    cost: int = 0
    truncated: str = ""
    # Per choice "stop", "length", "tool_calls" or "content_filter"; "" = it has none.
    finishes: tuple[str, ...] = ()
    error: str = ""
    # How model and worker were found; None = it was refused before.
    route: Route | None = None
    # Who asked for what, for observers that keep an account of it: never for logs, spans or metrics.
    principal: Principal | None = None
    request: ChatRequest | None = None

    @property
    def stood_in(self) -> bool:
        """Whether the client got a stored answer, because no worker could make one."""
        return self.route is not None and bool(self.route.replayed_from)
