"""A pool of workers with live calls and jobs, event by event: what the gate costs and yields, without any noise."""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from itertools import count

from services.jobs.domain.gate import GateRule, PoolGate, Told

WORD_SECONDS = 0.1
# From a change in a worker until it is in the router's word.
LAG_SECONDS = 0.25


@dataclass
class Load:
    """`live`: share of what the pool can do; seconds that a call takes; consumers with more jobs than can be done."""

    live: float = 0.5
    live_seconds: float = 0.42
    job_seconds: float = 0.42
    consumers: int = 1


@dataclass
class Seen:
    """Waits of live calls, seconds; jobs' requests that were done."""

    waits: list[float] = field(default_factory=list)
    jobs: int = 0

    def wait(self, quantile: float) -> float:
        return sorted(self.waits)[min(len(self.waits) - 1, int(quantile * len(self.waits)))]


class Pool:
    """Four workers; calls go to the one with the fewest, and wait there, in order, when it is full."""

    def __init__(self, slots: int, load: Load, rule: GateRule, *, seed: int = 1, gated: bool = True) -> None:
        self.slots, self.load, self.gated = slots, load, gated
        self.random = random.Random(seed)
        self.gates = [PoolGate(rule, self.random.random) for _ in range(load.consumers)]
        for gate in self.gates:
            gate.part = 1 / load.consumers
        self.running = [0] * 4
        self.queues: list[deque[float]] = [deque() for _ in range(4)]
        self.words: deque[tuple[float, Told]] = deque([(0.0, Told(slots, 0, 0))])
        self.seen = Seen()
        self._events: list[tuple[float, int, tuple]] = []
        self._numbers = count()

    def run(self, seconds: float) -> Seen:
        rate = self.load.live * self.slots / self.load.live_seconds
        self._at(self.random.expovariate(rate), ("live",))
        for place in range(len(self.gates)):
            self._at(WORD_SECONDS * place / len(self.gates), ("word", place))
        while self._events[0][0] < seconds:
            now, _, event = heapq.heappop(self._events)
            if event[0] == "live":
                self._live(now)
                self._at(now + self.random.expovariate(rate), ("live",))
            elif event[0] == "word":
                self._word(now, event[1])
            else:
                self._end(now, *event[1:])
            for place in range(len(self.gates)):
                self._jobs(now, place)
        return self.seen

    def _at(self, when: float, event: tuple) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), event))

    def _worker(self) -> int:
        return min(range(4), key=lambda at: (self.running[at] + len(self.queues[at]), self.random.random()))

    def _live(self, now: float) -> None:
        worker = self._worker()
        self.queues[worker].append(now)
        self._admit(now, worker)

    def _admit(self, now: float, worker: int) -> None:
        while self.queues[worker] and self.running[worker] < self.slots // 4:
            self.seen.waits.append(now - self.queues[worker].popleft())
            self._begin(now, worker, self.load.live_seconds, -1)

    def _begin(self, now: float, worker: int, seconds: float, consumer: int) -> None:
        self.running[worker] += 1
        self._at(now + seconds, ("end", worker, consumer))

    def _end(self, now: float, worker: int, consumer: int) -> None:
        self.running[worker] -= 1
        if consumer >= 0:
            self.gates[consumer].ended(now)
            self.seen.jobs += 1
        self._admit(now, worker)

    def _word(self, now: float, place: int) -> None:
        each = self.slots // 4
        idle = sum(each - busy for busy, queue in zip(self.running, self.queues, strict=True) if not queue)
        self.words.append((now, Told(idle, sum(self.running), sum(map(len, self.queues)))))
        while len(self.words) > 1 and self.words[1][0] <= now - LAG_SECONDS:
            self.words.popleft()
        self.gates[place].tell(now, self.words[0][1])
        self._at(now + WORD_SECONDS, ("word", place))

    def _jobs(self, now: float, place: int) -> None:
        gate = self.gates[place]
        for _ in range(gate.room(now) if self.gated else self.slots):
            worker = self._worker()
            if self.queues[worker] or self.running[worker] >= self.slots // 4:  # the gateway refuses at once
                gate.refused(now, 0.25)
                return
            gate.began(now)
            self._begin(now, worker, self.load.job_seconds, place)
