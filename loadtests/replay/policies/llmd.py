"""llm-d's endpoint picker, in three published compositions.

`LlmdDefault`: the built-in profile (llm-d/llm-d-router 0b59e4e, pkg/epp/config/loader/defaults.go): queue 2, KV
utilisation 2, prefix 3, highest sum, ties at random. Queue: waiting calls, min-max over the workers (2342697,
…/scorer/queuedepth/queue.go); KV: 1 - use (2342697, …/scorer/kvcacheutilization); prefix: matched share of the prompt's
blocks (068b68d, …/scorer/prefix/plugin.go) by an index of its own placements, as large as a worker's cache (autoTune).

`LlmdPrecise`: the guide precise-prefix-cache-routing (llm-d/llm-d 076e65d): the same with the index fed by KV events,
placements expected in it at once (speculativeIndexing), and `no-hit-lru-scorer` 2 (0b59e4e, …/scorer/nohitlru): prompts
that nobody has a block of go to the worker that has waited longest for one.

`LlmdSticky`: the guide optimized-baseline (llm-d/llm-d 0a3b0c9): workers with at least 80 % of the prompt are the
candidates, if any (066c20e, …/filter/prefixcacheaffinity; the guide sets maxTTFTPenaltyMs 0, so that it never breaks;
the plugin's own default of 18 s is `penalty_ms`), then the fewest uncached prompt tokens in flight, this prompt's
included (1b30d10, …/scorer/tokenload; tokens are released with the first token: 2f1de8c, …/inflightload/README.md).

Metrics are read every 50 ms.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence

from loadtests.replay.feed import State
from loadtests.replay.policies.indexes import EventIndex, PlacedIndex
from loadtests.replay.policies.simple import Rule
from loadtests.replay.run import Surroundings
from loadtests.replay.trace import BLOCK_TOKENS, Request

_QUEUE, _KV, _PREFIX, _COLD = 2.0, 2.0, 3.0, 2.0
_EXPECTED_MS = 2000.0
_PEAK_TOKENS_PER_MS = 15.928


class LlmdDefault(Rule):
    """See above."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._placed = PlacedIndex(around.cache_blocks)

    def members(self, workers: Sequence[str], now: float) -> None:
        """See Policy."""
        super().members(workers, now)
        self._placed.members(workers)

    def place(self, request: Request, now: float) -> str:
        """See Policy."""
        total = len(request.blocks)
        scores = self._load_scores(now)
        for name in self._workers:
            scores[name] += _PREFIX * self._placed.run(name, request.blocks) / total
        chosen = self._best(scores)
        self._placed.expect(chosen, request.blocks)
        return chosen

    def _load_scores(self, now: float) -> dict[str, float]:
        read = {name: self._around.gauges[name].read(now) for name in self._workers}
        low, high = min(waiting for waiting, _ in read.values()), max(waiting for waiting, _ in read.values())
        return {
            name: _QUEUE * (1.0 if high == low else (high - waiting) / (high - low)) + _KV * (1 - use)
            for name, (waiting, use) in read.items()
        }

    def _best(self, scores: dict[str, float]) -> str:
        return max(self._workers, key=lambda name: (scores[name], self._around.rng.random()))


class LlmdPrecise(LlmdDefault):
    """See above."""

    listens = True

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._index = EventIndex(_EXPECTED_MS)
        self._cold: OrderedDict[str, None] = OrderedDict()

    def members(self, workers: Sequence[str], now: float) -> None:
        """See Policy."""
        super().members(workers, now)
        self._index.members(workers)

    def heard(self, worker: str, state: State, now: float) -> None:  # noqa: ARG002 -- Policy's shape
        """See Policy."""
        self._index.heard(worker, state)

    def place(self, request: Request, now: float) -> str:
        """See Policy."""
        scores = self._load_scores(now)
        runs = {name: self._index.run(name, request.blocks, now) for name in self._workers}
        for name, run in runs.items():
            scores[name] += _PREFIX * run / len(request.blocks)
        cold = not any(runs.values())
        if cold:
            order = [name for name in self._workers if name not in self._cold] + [
                name for name in self._cold if name in scores
            ]
            for rank, name in enumerate(order):
                scores[name] += _COLD * (1 - rank / max(1, len(order) - 1))
        chosen = self._best(scores)
        if cold:
            self._cold[chosen] = None
            self._cold.move_to_end(chosen)
        self._index.expect(chosen, request.blocks, now)
        return chosen


class LlmdSticky(Rule):
    """See above."""

    THRESHOLD = 0.8

    def __init__(self, around: Surroundings, penalty_ms: float = 0.0) -> None:
        super().__init__(around)
        self._penalty_ms = penalty_ms
        self._placed = PlacedIndex(around.cache_blocks)
        self._flying: Counter[str] = Counter()
        self._open: dict[tuple[int, str], int] = {}

    def members(self, workers: Sequence[str], now: float) -> None:
        """See Policy."""
        super().members(workers, now)
        self._placed.members(workers)

    def place(self, request: Request, now: float) -> str:  # noqa: ARG002 -- Policy's shape
        """See Policy."""
        total = len(request.blocks)
        left = {name: (total - self._placed.run(name, request.blocks)) * BLOCK_TOKENS for name in self._workers}
        sticky = [name for name in self._workers if 1 - left[name] / (total * BLOCK_TOKENS) >= self.THRESHOLD]
        rng = self._around.rng
        chosen = min(self._kept(sticky), key=lambda name: (self._flying[name] + left[name], rng.random()))
        self._open[request.number, chosen] = left[chosen]
        self._flying[chosen] += left[chosen]
        self._placed.expect(chosen, request.blocks)
        return chosen

    def first_token(self, request: Request, worker: str, now: float) -> None:  # noqa: ARG002 -- Policy's shape
        """See Policy."""
        self._flying[worker] -= self._open.pop((request.number, worker), 0)

    def finished(self, request: Request, worker: str, now: float) -> None:
        """See Policy."""
        self.first_token(request, worker, now)

    def _kept(self, sticky: list[str]) -> list[str]:
        others = [name for name in self._workers if name not in sticky]
        if not sticky or not others:
            return self._workers
        penalty = (min(self._flying[n] for n in sticky) - min(self._flying[n] for n in others)) / _PEAK_TOKENS_PER_MS
        return self._workers if self._penalty_ms and penalty > self._penalty_ms else sticky
