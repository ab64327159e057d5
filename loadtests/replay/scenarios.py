"""What is replayed: a trace, arrivals, caches, changes of the fleet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from loadtests.replay.engine import EngineModel
from loadtests.replay.run import Change
from loadtests.replay.synthetic import agents, hot_tenant
from loadtests.replay.trace import Trace, spread

WORKERS = 8
LOST = "w3"
# Blocks of 512 tokens: two H100 beside a 32B model; those and CPU memory behind them; a store behind that.
SMALL, MIDDLE, LARGE = 600, 2400, 9600


@dataclass(frozen=True, slots=True)
class Scenario:
    """`trace(seed)` may differ by seed; `changes` are made of the trace. `about`: what it shows."""

    name: str
    about: str
    trace: Callable[[int], Trace]
    cache_blocks: int | None
    changes: Callable[[Trace], tuple[Change, ...]] = field(default=lambda trace: ())  # noqa: ARG005

    @property
    def model(self) -> EngineModel:
        """The workers."""
        return EngineModel(cache_blocks=self.cache_blocks)


def middle(trace: Trace) -> float:
    """When half of it has arrived."""
    return trace.requests[len(trace.requests) // 2].arrival_ms


def lost(trace: Trace) -> tuple[Change, ...]:
    """One worker is lost in the middle and stays away."""
    return (Change(middle(trace), LOST),)


def joined(trace: Trace) -> tuple[Change, ...]:
    """A ninth worker joins in the middle."""
    return (Change(middle(trace), f"w{WORKERS}", joins=True),)


def all_scenarios(base: Trace) -> list[Scenario]:
    """Every scenario over the given trace, those of made-up traces included."""

    def spaced(seed: int) -> Trace:
        return spread(base, seed)

    def doubled(seed: int) -> Trace:
        return spread(base, seed, 2.0)

    def hot(seed: int) -> Trace:
        return hot_tenant(spread(base, seed), seed)

    def recorded(seed: int) -> Trace:  # noqa: ARG001 -- arrivals as stamped, whatever the seed
        return base

    return [
        Scenario("unlimited", "arrivals as stamped: ten at once every 3 s", recorded, None),
        Scenario("unlimited, spread", "arrivals spread between the stamps", spaced, None),
        Scenario("small caches", "spread", spaced, SMALL),
        Scenario("middle caches", "spread", spaced, MIDDLE),
        Scenario("large caches", "spread", spaced, LARGE),
        Scenario("middle caches, as stamped", "ten at once every 3 s", recorded, MIDDLE),
        Scenario("middle caches, twice as fast", "spread, all times halved", doubled, MIDDLE),
        Scenario("worker lost", "middle caches, one of eight gone from the middle on", spaced, MIDDLE, lost),
        Scenario("worker added", "middle caches, a ninth from the middle on", spaced, MIDDLE, joined),
        Scenario("hot tenant", "middle caches, one prefix at 1.5 calls/s in the middle third", hot, MIDDLE),
        Scenario("all at once", "small caches, a worker lost, a hot tenant", hot, SMALL, lost),
        Scenario("agents", "made-up sessions, sub-agents and fan-outs, middle caches", agents, MIDDLE),
        Scenario("agents, worker lost", "the same, one of eight gone from the middle on", agents, MIDDLE, lost),
    ]
