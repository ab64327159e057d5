"""Where a prompt without a binding goes: the worker with the least work ahead of its first token.

Pure and synchronous; the router and the replays of loadtests use this very code. Costs are in tokens: those of the
prompt that a worker would have to compute, and those of others that it computes first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import add

from libs.rendezvous import weight
from services.router.domain.caches import Caches, Sent
from services.router.domain.plan import Place, PlaceReason
from services.router.domain.scorers.affinity import Tree
from services.router.domain.scorers.balance import Balance
from services.router.domain.scorers.kv_pressure import KvPressure
from services.router.domain.scorers.prefix import prefill
from services.router.domain.scorers.question import Question, Scorer, Wanted
from services.router.domain.scorers.queue import Queue
from services.router.domain.worker import Worker

# Looked up here, since an enumeration's member takes longer than what is done with it.
_SPARE = PlaceReason.SPARE


@dataclass(frozen=True, slots=True)
class PlacementRule:
    """See PlacementSettings and the scorers."""

    load_factor: float = 1.25
    places_max: int = 4
    running_tokens: float = 16.0
    queue_share: float = 0.16
    balance_share: float = 0.005
    pressure_start: float = 0.9
    tree_share: float = 0.5

    def scorers(self) -> tuple[Scorer, ...]:
        """What is weighed; all in one unit, so that there are no weights between them."""
        return (
            prefill,
            Queue(self.queue_share, self.running_tokens, self.load_factor),
            Balance(self.balance_share),
            KvPressure(self.pressure_start),
            Tree(self.tree_share),
        )


class Placement:
    """Weighs workers. `random` gives floats in [0, 1): it breaks ties of prompts that have no key."""

    def __init__(self, caches: Caches, rule: PlacementRule, random: Callable[[], float]) -> None:
        self.caches = caches
        self._rule = rule
        self._scorers = rule.scorers()
        self._random = random

    def choose(self, wanted: Wanted, workers: Sequence[Worker]) -> list[Place]:
        """The plan over non-empty `workers`, best first."""
        held, cached = self.look(wanted, workers)
        shared = min(cached)
        costs = self.costs(Question(wanted, workers, cached, shared))
        order = sorted(range(len(workers)), key=costs.__getitem__)
        first, reason = self._first(wanted, workers, costs, order)
        if wanted.root and workers[first].name == wanted.root:
            reason = PlaceReason.TREE
        elif cached[first] > shared:
            reason = PlaceReason.PREFIX
        order.remove(first)
        spares = order[: self._rule.places_max - 1]
        return [
            Place(workers[first], reason, cached[first], costs[first], held[first]),
            *[Place(workers[index], _SPARE, cached[index], costs[index]) for index in spares],
        ]

    def look(self, wanted: Wanted, workers: Sequence[Worker]) -> tuple[list[int], list[int]]:
        """Blocks of the prompt that each worker says it has, and tokens that it has or is about to have.

        The last token is always computed. A prompt is as long as its blocks at least.
        """
        count = len(wanted.blocks)
        if not count:
            self.caches.note()  # costs look at what was sent, too
            nothing = [0] * len(workers)
            return nothing, nothing
        # One that does not say how long its blocks are has told of none.
        size = workers[0].block_tokens or max(worker.block_tokens for worker in workers)
        held, runs = self.caches.cached(wanted.blocks, workers, wanted.now)
        most = (max(wanted.tokens, count * size) - 1) // size if size else 0
        if max(runs) > most:
            runs = [min(most, run) for run in runs]
        return held, [run * size for run in runs]

    def costs(self, question: Question) -> list[float]:
        """Tokens of work ahead of the prompt's first token, for each worker."""
        costs: list[float] = []
        for scorer in self._scorers:
            if scores := scorer(question):
                costs = list(map(add, costs, scores)) if costs else list(scores)
        return costs

    def placed(self, wanted: Wanted, place: Place) -> None:
        """The prompt goes to this place: its work and its blocks count from here on."""
        worker, cached = place.worker, place.cached_tokens
        left = max(0, wanted.tokens - cached)
        worker.placed(wanted.now, left)
        if len(wanted.blocks):
            size = worker.block_tokens
            self.caches.sent(Sent(worker, wanted.blocks, wanted.now, place.held, cached // size if size else 0, left))
        else:
            worker.weigh(wanted.now)

    def _first(
        self, wanted: Wanted, workers: Sequence[Worker], costs: list[float], order: list[int]
    ) -> tuple[int, PlaceReason]:
        """Who is first: the cheapest. Equals are told apart by the key's hash, so that replicas agree, or at random."""
        least = costs[order[0]] + 1.0
        if len(order) == 1 or costs[order[1]] >= least:
            return order[0], PlaceReason.LEAST_LOADED
        equals = [index for index in order if costs[index] < least]
        if wanted.key:
            return max(equals, key=lambda index: weight(wanted.key, workers[index].name)), PlaceReason.RENDEZVOUS
        return equals[int(self._random() * len(equals))], PlaceReason.LEAST_LOADED
