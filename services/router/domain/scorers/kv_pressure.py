"""KV pressure: what a nearly full KV cache costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.router.domain.scorers.question import Question


@dataclass(frozen=True, slots=True)
class KvPressure:
    """Above `start` of the blocks in use by running calls, each token that needs a place may cost another one.

    A call is preempted and computed again, or its prefix evicted: nothing at `start`, a whole prompt when full.
    """

    start: float

    def __call__(self, question: Question) -> Sequence[float]:
        """Tokens that will be computed twice."""
        start = self.start
        for worker in question.workers:
            if worker.kv_use > start:
                break
        else:
            return ()
        scale = question.wanted.tokens / (1.0 - start)
        return [max(0.0, worker.kv_use - start) * scale for worker in question.workers]
