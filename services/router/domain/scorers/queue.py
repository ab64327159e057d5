"""Queue: the work that a worker has to do before this prompt's turn comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.router.domain.rendezvous import bound
from services.router.domain.scorers.question import Question


@dataclass(frozen=True, slots=True)
class Queue:
    """Calls that wait, those sent since the worker last spoke, and `running_tokens` for each: its part of every step.

    Beyond `load_factor` times the mean load each further call counts like a prompt of the usual length: load is
    bounded, unless the cache saves more than that. Bound: see domain/rendezvous.py.
    """

    running_tokens: float
    load_factor: float

    def __call__(self, question: Question) -> Sequence[float]:
        """Tokens that wait ahead."""
        workers = question.workers
        loads = [worker.load for worker in workers]
        if not any(loads):
            return ()
        each = self.running_tokens
        ahead = [worker.queued_tokens + each * load for worker, load in zip(workers, loads, strict=True)]
        limit = bound(loads, self.load_factor)
        if max(loads) >= limit:
            for index, load in enumerate(loads):
                if load >= limit:
                    ahead[index] += (load - limit + 1) * (workers[index].tokens_mean or question.wanted.tokens)
        return ahead
