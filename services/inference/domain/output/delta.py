"""What goes to the caller: a delta of one choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.inference.domain.output.parser import ToolPiece
from services.inference.domain.output.tokens import TokenLogprobs


@dataclass(slots=True)
class Usage:
    """Counts of one attempt; milliseconds from submission."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    queue_ms: float = 0.0
    first_token_ms: float = 0.0
    estimated: bool = False


@dataclass(slots=True)
class Delta:
    """New tokens and text of one choice. `first_index` counts output tokens over all attempts.

    `finish`: None, "stop", "length", "tool_calls" or "content_filter". `usage` is partial on the first delta of a call
    and whole on the last one.
    """

    choice: int
    first_index: int = 0
    token_ids: Sequence[int] = ()
    text: str = ""
    is_reasoning: bool = False
    tool_calls: Sequence[ToolPiece] = ()
    logprobs: Sequence[TokenLogprobs] = ()
    finish: str | None = None
    stop_reason: str = ""
    usage: Usage | None = None
