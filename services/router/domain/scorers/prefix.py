"""Prefill: the tokens of the prompt that a worker has not cached, beyond those that no worker would have to compute."""

from __future__ import annotations

from collections.abc import Sequence

from services.router.domain.scorers.question import Question


def prefill(question: Question) -> Sequence[float]:
    """Tokens to compute, of those that k workers have cached one in k.

    What all workers have cached is no reason for any, and stays out of the difference. What several have is shared by
    many prompts, and a further copy soon pays; what one alone has is a session's, and a copy is work done twice.
    """
    cached, shared = question.cached, question.shared
    tokens, most = max(question.wanted.tokens, shared), max(cached)
    if most == shared:
        return [tokens - shared] * len(cached)
    costs = [0.0] * len(cached)
    cost, at = float(tokens - most), most
    for holders, index in enumerate(sorted(range(len(cached)), key=cached.__getitem__, reverse=True)):
        if cached[index] < at:
            cost += (at - cached[index]) / holders
            at = cached[index]
        costs[index] = cost
    return costs
