"""Queue: the work that a worker has to do before this prompt's turn comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.router.domain.bounded_loads import bound
from services.router.domain.scorers.question import Question

# Calls that a worker may have whatever the others have: so few slow nobody down, and their number is no measure.
_LOAD_FREE = 16


@dataclass(frozen=True, slots=True)
class Queue:
    """The prompt tokens ahead, and `running_tokens` for each call: its part of every step. Of both, `share` counts.

    Waiting delays one call's first token, computing a prefix twice takes capacity from all; `share` is the one in terms
    of the other. Beyond `load_factor` times the mean load, and _LOAD_FREE, each call more counts like a prompt of the
    usual length: load is bounded, unless the cache saves more than that. Bound: see domain/bounded_loads.py.
    """

    share: float
    running_tokens: float
    load_factor: float

    def __call__(self, question: Question) -> Sequence[float]:
        """Tokens that wait ahead, weighed."""
        workers = question.workers
        loads = [worker.told + len(worker.recent) for worker in workers]  # Worker.load, without eight calls
        if not any(loads):
            return ()
        # Where nobody is free, work done twice delays all who wait, and counts for more the more of them there are.
        # Else prefixes would be copied to and fro until the workers did little else.
        waiting = min(worker.waiting for worker in workers)
        share, each = self.share / (1.0 + self.share * waiting), self.running_tokens
        ahead = [share * (worker.tokens_ahead + each * load) for worker, load in zip(workers, loads, strict=True)]
        most = max(loads)
        if most > _LOAD_FREE and most >= (limit := max(_LOAD_FREE, bound(loads, self.load_factor))):
            for index, load in enumerate(loads):
                if load >= limit:
                    usual = workers[index].tokens_mean or question.wanted.tokens
                    ahead[index] += share * (load - limit + 1) * usual
        return ahead
