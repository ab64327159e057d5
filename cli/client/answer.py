"""A streamed answer and what was measured on the way, whichever protocol brought it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Message = dict[str, str]


@dataclass
class Answer:
    """`ttft_ms` and `total_ms` are the caller's own clock; the rest is what the platform reports at the end.

    `route` is how the model and the worker were found (x-headrace-route). `cost_usd` is exact; `truncated` says why the
    answer ended before its time ("budget"), "" where it did not.
    """

    text: str = ""
    session: str = ""
    worker: str = ""
    request_id: str = ""
    route: str = ""
    finish: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    attempts: int = 0
    resumed: bool = False
    ttft_ms: float = 0.0
    total_ms: float = 0.0
    cost_usd: str = "0"
    truncated: str = ""

    @property
    def tokens_per_second(self) -> float:
        """Pace after the first token."""
        seconds = (self.total_ms - self.ttft_ms) / 1000
        return (self.completion_tokens - 1) / seconds if self.completion_tokens > 1 and seconds > 0 else 0.0


@dataclass(frozen=True)
class Question:
    """One chat call."""

    model: str
    messages: Sequence[Message]
    session: str = ""
    max_tokens: int = 256
    temperature: float | None = None
    extra: dict[str, object] = field(default_factory=dict)
