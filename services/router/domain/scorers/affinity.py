"""Session affinity: a session goes where its KV cache is.

Absolute, not weighed: the bound worker is first whatever its load, since moving costs the whole prefix on another
worker while the worker itself refuses in 5 ms when it is full. It gives way only when it cannot serve the call.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.router.domain.binding import Binding
from services.router.domain.catalog import Pool
from services.router.domain.scorers.question import Question
from services.router.domain.worker import Worker


def bound_worker(binding: Binding | None, pool: Pool) -> Worker | None:
    """The worker the session is bound to; None without a binding or when that worker is not in `pool`.

    It is not in the pool when it is dead, silent, draining, or serves neither this model nor this digest: the
    session then moves.
    """
    return pool.by_name.get(binding.worker) if binding else None


def usable(worker: Worker | None, excluded: Collection[str]) -> bool:
    """Whether this very call may go to its bound worker: not when it has just failed there, nor while the worker is
    ejected. The binding stays: an ejection is short, and its cache is still there after it.
    """
    return worker is not None and worker.name not in excluded and not worker.ejected


def placement_key(tenant: str, session: str, affinity_key: str) -> str:
    """What rendezvous hashes: the session, else the affinity key; "" when there is neither. Tenants never meet."""
    if session:
        return f"{tenant}\0s\0{session}"
    return f"{tenant}\0a\0{affinity_key}" if affinity_key else ""


@dataclass(frozen=True, slots=True)
class Tree:
    """A sub-agent's prompt begins as its parent's does, which nobody knows of engines that do not tell their blocks.

    So the parent's worker is believed to have `share` of the prompt, unless it is known to have more.
    """

    share: float

    def __call__(self, question: Question) -> Sequence[float]:
        """Minus the tokens that the parent's worker is believed to have besides those it is known to have."""
        root = question.wanted.root
        if not root:
            return ()
        believed = self.share * question.wanted.tokens
        return [
            min(0.0, cached - believed) if worker.name == root else 0.0
            for worker, cached in zip(question.workers, question.cached, strict=True)
        ]
