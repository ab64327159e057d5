"""Prefill: the tokens of the prompt that a worker has not cached, beyond those that no worker would have to compute."""

from __future__ import annotations

from collections.abc import Sequence

from services.router.domain.scorers.question import Question


def prefill(question: Question) -> Sequence[float]:
    """Tokens to compute. What all workers have cached is no reason for any, and stays out of the difference."""
    tokens = max(question.wanted.tokens, question.shared)
    return [tokens - cached for cached in question.cached]
