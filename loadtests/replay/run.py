"""One replay: a trace, a fleet of simulated workers and a placement rule on one virtual clock."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from loadtests.replay.engine import EngineModel, Job, SimWorker
from loadtests.replay.feed import Feed, Gauge, State
from loadtests.replay.trace import Request, Trace

# Workers have been up for a second when the trace begins.
_HEAD_START_MS = -1000.0


class Policy(Protocol):
    """A placement rule. Times are milliseconds of the replay. Nothing blocks or raises.

    `listens`: workers' messages are for it; else none are made, which halves the work of a replay.
    """

    listens: bool

    def members(self, workers: Sequence[str], now: float) -> None:
        """These workers are alive, the others are gone with their caches."""
        ...

    def place(self, request: Request, now: float) -> str:
        """The worker that gets the call."""
        ...

    def heard(self, worker: str, state: State, now: float) -> None:
        """A message of the worker has arrived."""
        ...

    def first_token(self, request: Request, worker: str, now: float) -> None:
        """The answer's first token came by: rules that sit in the data path see that."""
        ...

    def finished(self, request: Request, worker: str, now: float) -> None:
        """The answer is complete, or its worker was lost."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a rule may use beside its messages: randomness, metrics pages, the size of the caches in blocks."""

    rng: random.Random
    gauges: Mapping[str, Gauge]
    cache_blocks: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """At `at_ms` a worker is lost (with its cache and its calls) or joins."""

    at_ms: float
    worker: str
    joins: bool = False


@dataclass(slots=True)
class Outcome:
    """What became of each request, by its number: TTFT in milliseconds, and where it was placed, first and last."""

    ttft_ms: dict[int, float] = field(default_factory=dict)
    placed: dict[int, list[str]] = field(default_factory=dict)
    hits: int = 0
    blocks: int = 0
    missed: dict[str, int] = field(default_factory=dict)
    ended_ms: float = 0.0
    unfinished: int = 0


class Replay:
    """Runs `trace` once over workers w0 … w(n-1); the policy is made by `make`."""

    def __init__(
        self,
        trace: Trace,
        model: EngineModel,
        make: Callable[[Surroundings], Policy],
        *,
        workers: int = 8,
        seed: int = 0,
        changes: Sequence[Change] = (),
    ) -> None:
        self._trace, self._model = trace, model
        self._rng = random.Random(seed)
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._workers: dict[str, SimWorker] = {}
        self._feeds: dict[str, Feed] = {}
        self._gauges: dict[str, Gauge] = {}
        self._out = Outcome(blocks=trace.blocks)
        self._policy = make(Surroundings(random.Random(seed + 1), self._gauges, model.cache_blocks))
        self._left = len(trace.requests)
        for name in (f"w{n}" for n in range(workers)):
            self._open(name, _HEAD_START_MS)
        self._policy.members(list(self._workers), _HEAD_START_MS)
        for change in changes:
            self._at(change.at_ms, lambda now, change=change: self._change(change, now))

    def run(self) -> Outcome:
        """Plays everything; ends when the last answer has ended."""
        arrivals = iter(self._trace.requests)
        upcoming = next(arrivals, None)
        while self._left and (self._heap or upcoming):
            if upcoming and (not self._heap or upcoming.arrival_ms <= self._heap[0][0]):
                self._arrive(upcoming, upcoming.arrival_ms)
                upcoming = next(arrivals, None)
                continue
            now, _, action = heapq.heappop(self._heap)
            action(now)
            self._out.ended_ms = now
        self._out.unfinished = self._left
        for worker in self._workers.values():
            self._keep_missed(worker)
        return self._out

    def _at(self, when: float, action: Callable[[float], None]) -> None:
        heapq.heappush(self._heap, (when, next(self._order), action))

    def _open(self, name: str, now: float) -> None:
        def changed(at: float) -> None:
            gauge.changed(at)
            if self._policy.listens:
                feed.changed(at)

        worker = SimWorker(name, self._model, self._first_token(name), self._finished(name), changed)
        gauge = self._gauges[name] = Gauge(worker)
        feed = Feed(worker, self._at, lambda state, at: self._policy.heard(name, state, at), self._rng)
        self._workers[name], self._feeds[name] = worker, feed
        if self._policy.listens:
            feed.start(now)

    def _change(self, change: Change, now: float) -> None:
        lost: list[Job] = []
        if change.joins:
            self._open(change.worker, now)
        else:
            worker = self._workers.pop(change.worker)
            self._feeds.pop(change.worker).stop()
            self._keep_missed(worker)
            lost = worker.jobs()
        self._policy.members(list(self._workers), now)
        for job in lost:
            self._policy.finished(job.request, change.worker, now)
        for job in lost:
            self._submit(job.request, now, job.produced)

    def _keep_missed(self, worker: SimWorker) -> None:
        self._out.missed[worker.name] = self._out.missed.get(worker.name, 0) + worker.missed_blocks

    def _arrive(self, request: Request, now: float) -> None:
        self._submit(request, now, 0)

    def _submit(self, request: Request, now: float, produced: int) -> None:
        name = self._policy.place(request, now)
        self._out.placed.setdefault(request.number, []).append(name)
        worker = self._workers[name]
        worker.submit(Job(request, now, produced), now)
        self._watch(worker)

    def _watch(self, worker: SimWorker) -> None:
        due = worker.due_ms
        if due < float("inf"):
            self._at(due, lambda now: self._advance(worker, due, now))

    def _advance(self, worker: SimWorker, due: float, now: float) -> None:
        # A step that was cut short, and a worker that is gone, leave their old date behind.
        if worker.due_ms == due and self._workers.get(worker.name) is worker:
            worker.advance(now)
            self._watch(worker)

    def _first_token(self, name: str) -> Callable[[Job, float], None]:
        def told(job: Job, now: float) -> None:
            request = job.request
            if not job.produced:
                self._out.ttft_ms[request.number] = now - request.arrival_ms
                self._out.hits += job.cached_blocks
            self._policy.first_token(request, name, now)

        return told

    def _finished(self, name: str) -> Callable[[Job, float], None]:
        def told(job: Job, now: float) -> None:
            self._left -= 1
            self._policy.finished(job.request, name, now)

        return told
