"""Balance: who has been given more work lately pays a little, so that caches and work spread before queues show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.router.domain.scorers.question import Question


@dataclass(frozen=True, slots=True)
class Balance:
    """`share` of the uncached tokens sent to a worker in the last minutes. 0 leaves long-term balance to the queues;
    much above 0.1 it outweighs prefixes.
    """

    share: float

    def __call__(self, question: Question) -> Sequence[float]:
        """Tokens to hold against each worker."""
        share = self.share
        return [share * worker.work for worker in question.workers]
