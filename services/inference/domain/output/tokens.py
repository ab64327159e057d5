"""What an engine brings: tokens of one choice, with what it knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class TokenLogprobs:
    """Candidates at one output position, the chosen token first: (token id, token bytes, logprob)."""

    top: list[tuple[int, bytes, float]]


@dataclass(slots=True)
class Step:
    """What one engine step brought for one choice, or several that arrived together.

    `finish`: None, "stop" (EOS or stop token) or "length".

    `cached_tokens` is set on the first step of a choice; `logprobs` has one entry per token when asked for. With
    "stop", the token that stopped it is the last one and is no text; `stop_token` is set when `stop_token_ids` named
    it.
    """

    choice: int
    token_ids: Sequence[int]
    finish: str | None = None
    logprobs: Sequence[TokenLogprobs] = ()
    cached_tokens: int | None = None
    queue_seconds: float | None = None
    stop_token: int | None = None
