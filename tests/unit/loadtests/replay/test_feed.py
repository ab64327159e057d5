"""What routers learn, and when."""

from __future__ import annotations

import heapq
import itertools
import random

from loadtests.replay.engine import EngineModel, Job, SimWorker
from loadtests.replay.feed import BEAT_MS, COALESCE_MS, TRANSIT_MS, Feed, Gauge
from loadtests.replay.trace import request


class Bench:
    """A worker, its feed and its gauge on one clock."""

    def __init__(self, cache_blocks=None):
        self.heap, self.order, self.heard = [], itertools.count(), []
        self.worker = SimWorker("w0", EngineModel(cache_blocks=cache_blocks), _ignore, _ignore, self._changed)
        self.gauge = Gauge(self.worker)
        self.feed = Feed(self.worker, self._at, lambda state, at: self.heard.append((at, state)), random.Random(1))
        self.feed.start(0.0)

    def _changed(self, now):
        self.gauge.changed(now)
        self.feed.changed(now)

    def _at(self, when, action):
        heapq.heappush(self.heap, (when, next(self.order), action))

    def submit(self, now, ids, output=1):
        self.worker.submit(Job(request(1, now, (len(ids) * 512, output), ids), now), now)

    def run(self, until):
        while True:
            due = min(self.worker.due_ms, self.heap[0][0] if self.heap else until)
            if due >= until:
                return
            if due == self.worker.due_ms:
                self.worker.advance(due)
            else:
                heapq.heappop(self.heap)[2](due)


def _ignore(job, now):
    """Nobody asks."""


def test_it_begins_with_a_snapshot_and_beats():
    bench = Bench()
    bench.run(2000.0)
    states = [state for _, state in bench.heard]
    assert [state.sequence for state in states] == list(range(1, len(states) + 1))
    assert [state.snapshot for state in states] == [True] + [False] * (len(states) - 1)
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(bench.heard)]
    assert max(gaps) <= BEAT_MS + TRANSIT_MS[1]


def test_blocks_are_told_at_once_and_not_more_often_than_the_gap():
    bench = Bench()
    bench.run(300.0)
    before = len(bench.heard)
    bench.submit(300.0, range(8))
    done = bench.worker.due_ms
    bench.run(done + COALESCE_MS + TRANSIT_MS[1] + 1)
    told = [(at, state) for at, state in bench.heard[before:] if state.stored]
    assert [len(state.stored) for _, state in told] == [8]
    assert told[0][0] <= done + COALESCE_MS + TRANSIT_MS[1]
    assert told[0][1].held == 8


def test_a_router_that_counts_along_knows_what_is_held():
    bench = Bench(cache_blocks=12)
    rng = random.Random(3)
    for number in range(60):
        family = rng.randrange(4) * 100
        bench.submit(number * 400.0, range(family, family + rng.randint(1, 8)))
        bench.run((number + 1) * 400.0)
    bench.run(60 * 400.0 + 1000)
    held = set()
    for _, state in bench.heard:
        assert not held.intersection(state.stored)
        assert held.issuperset(state.dropped)
        held.difference_update(state.dropped)
        held.update(state.stored)
        assert state.held == len(held)
    assert len(held) == len(bench.worker.cache) <= 12
    assert any(state.dropped for _, state in bench.heard)


def test_a_stopped_feed_says_nothing_more():
    bench = Bench()
    bench.run(300.0)
    count = len(bench.heard)
    bench.feed.stop()
    bench.run(3000.0)
    assert len(bench.heard) == count


def test_a_gauge_shows_the_last_poll():
    bench = Bench()
    bench.submit(60.0, range(4))
    bench.submit(61.0, range(10, 14))
    assert bench.gauge.read(62.0) == (0, 0.0)
    assert bench.gauge.read(101.0)[0] == 1
