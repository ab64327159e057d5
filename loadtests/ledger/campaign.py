"""Episodes of random operations with crashes of the store in them, until enough operations were played."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from libs.testing.valkey import ValkeyProcess
from libs.valkey import FunctionLibrary
from loadtests.ledger.books_check import ViolationError
from loadtests.ledger.pipe import Pipe
from loadtests.ledger.runner import Episode, Tally
from loadtests.ledger.timed import TIMED
from loadtests.ledger.world import World
from services.gateway.adapters.ledger.library import LEDGER

# A store keeps so many episodes: its append-only file must not slow its starts.
_EPISODES_PER_STORE = 20
# Amounts from single nano-dollars to millions of dollars, near what a double holds exactly.
_SCALES = (1, 1, 1_000_000, 8_000_000_000)


@dataclass(frozen=True, slots=True)
class Plan:
    """`batch` operations travel in one write and are compared after it; a crash has up to `torn_max` under way."""

    operations: int
    seed: int
    batch: int = 10
    episode: int = 500
    crashes_per_episode: int = 1
    torn_max: int = 12


def run(plan: Plan, library: FunctionLibrary = TIMED, tally: Tally | None = None) -> Tally:
    """Plays the plan. Raises ViolationError, which names the episode's seed."""
    tally, number = tally or Tally(), 0
    while sum(tally.operations.values()) < plan.operations:
        with _store(library) as store:
            for _ in range(_EPISODES_PER_STORE):
                if sum(tally.operations.values()) < plan.operations:
                    _episode(plan, f"{plan.seed}-{number}", store, tally, library)
                    number += 1
    return tally


@contextmanager
def _store(library: FunctionLibrary) -> Iterator[ValkeyProcess]:
    with ValkeyProcess(appendfsync="always") as store:
        pipe = Pipe(store.url)
        pipe.load(LEDGER, library)
        pipe.close()
        yield store


def _episode(plan: Plan, seed: str, store: ValkeyProcess, tally: Tally, library: FunctionLibrary) -> None:
    rng = Random(seed)
    world = World(rng, f"t{seed}", scale=rng.choice(_SCALES))
    episode = Episode(Pipe(store.url), world, tally, library)
    try:
        _play(plan, episode, store, tally)
    except ViolationError as problem:
        raise ViolationError(f"episode {seed}: {problem}") from problem
    finally:
        episode.close()


def _play(plan: Plan, episode: Episode, store: ValkeyProcess, tally: Tally) -> None:
    def kill() -> Pipe:
        store.kill()
        store.start()
        return Pipe(store.url)

    rng, due = episode.world.rng, sum(tally.operations.values()) + plan.episode
    batches = max(1, plan.episode // plan.batch)
    episode.play(episode.plan_opening())
    while sum(tally.operations.values()) < due:
        if rng.random() < plan.crashes_per_episode / batches:
            episode.crash(rng.randint(0, plan.torn_max), kill)
        episode.play(episode.plan_some(plan.batch))
    episode.end()
