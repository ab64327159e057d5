"""The ordered plan: which worker first, which next, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from libs.rendezvous import rank
from services.router.domain.bounded_loads import first_with_room
from services.router.domain.worker import Worker


class PlaceReason(StrEnum):
    """Why a worker has its place; the value is `Candidate.reason`."""

    BOUND = "bound"
    # Its cache, beyond what all candidates have, made it the cheapest.
    PREFIX = "prefix"
    # The session's root is bound there.
    TREE = "tree"
    RENDEZVOUS = "rendezvous"
    # The key's own worker is at its load bound.
    OVERFLOW = "rendezvous-overflow"
    # Nothing speaks for one but its load.
    LEAST_LOADED = "least-loaded"
    # In case those before it fail.
    SPARE = "spare"


class Place(NamedTuple):
    """One place of the plan. `cost` in tokens of work ahead of the first token; 0 = not weighed.

    `held`: blocks from the prompt's start that the worker has by its own word; `cached_tokens` has those expected too.
    """

    worker: Worker
    reason: PlaceReason
    cached_tokens: int = 0
    cost: float = 0.0
    held: int = 0


@dataclass(frozen=True, slots=True)
class PlanRule:
    """`load_factor` of bounded loads, and how many places a plan has."""

    load_factor: float
    places_max: int


def plan_bound(worker: Worker, ranking: Sequence[Worker], rule: PlanRule) -> list[Place]:
    """The bound worker, then its session's ranking: a session that loses its worker finds the same next one."""
    spares = [Place(other, PlaceReason.SPARE) for other in ranking if other is not worker]
    return [Place(worker, PlaceReason.BOUND), *spares[: rule.places_max - 1]]


def plan_new(
    key: str, workers: Sequence[Worker], sessions: Mapping[str, int], rule: PlanRule, random: Callable[[], float]
) -> list[Place]:
    """The plan of a key without a binding over non-empty `workers`; without a key, by load, ties at random.

    Balls in the bins are calls (running, waiting, sent) and, as the KV cache is what they share, bound
    sessions (`sessions`, by worker name; only of workers that have some).
    """
    if not key:
        ranking = sorted(workers, key=lambda worker: (worker.load, random()))
        return _places(ranking, PlaceReason.LEAST_LOADED, rule)
    ranking = rank(key, workers, _name)
    first = first_with_room([(worker.load, sessions.get(worker.name, 0)) for worker in ranking], rule.load_factor)
    ordered = [ranking[first], *ranking[:first], *ranking[first + 1 :]]
    return _places(ordered, PlaceReason.OVERFLOW if first else PlaceReason.RENDEZVOUS, rule)


def _places(workers: Sequence[Worker], reason: PlaceReason, rule: PlanRule) -> list[Place]:
    spares = [Place(worker, PlaceReason.SPARE) for worker in workers[1 : rule.places_max]]
    return [Place(workers[0], reason), *spares]


def _name(worker: Worker) -> str:
    return worker.name
