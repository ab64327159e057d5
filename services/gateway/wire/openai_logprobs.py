"""Log probabilities in OpenAI's form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headrace.inference.v1.inference_pb2 import TokenLogprob, TokenLogprobs

# JSON has no infinity; vLLM's server sends the same bound.
_LOWEST = -9999.0


def logprobs_content(positions: Iterable[TokenLogprobs], top: int) -> list[dict[str, Any]]:
    """`logprobs.content`: per token the chosen one, and the `top` best candidates (in which it may be missing)."""
    return [_position(position, top) for position in positions if position.top]


def _position(position: TokenLogprobs, top: int) -> dict[str, Any]:
    chosen = _candidate(position.top[0])
    return {**chosen, "top_logprobs": _best(position.top, top)}


def _best(candidates: Iterable[TokenLogprob], top: int) -> list[dict[str, Any]]:
    if not top:
        return []
    distinct = {candidate.token_id: candidate for candidate in candidates}
    ordered = sorted(distinct.values(), key=lambda candidate: -candidate.logprob)
    return [_candidate(candidate) for candidate in ordered[:top]]


def _candidate(candidate: TokenLogprob) -> dict[str, Any]:
    """A token may be a part of a character: then its text shows that, and `bytes` is exact."""
    return {
        "token": candidate.token.decode("utf-8", "replace"),
        "logprob": max(_LOWEST, candidate.logprob),
        "bytes": list(candidate.token),
    }
