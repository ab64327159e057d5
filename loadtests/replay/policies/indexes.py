"""What rules know of caches: from KV events, or from their own placements."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

from loadtests.replay.feed import State
from loadtests.replay.policies.simple import run_length


class EventIndex:
    """Blocks that workers told of; `expected` ones, placed and not told yet, count for `expected_ms`."""

    def __init__(self, expected_ms: float = 0.0) -> None:
        self._expected_ms = expected_ms
        self._told: dict[str, set[int]] = {}
        self._expected: dict[str, dict[int, float]] = {}
        self._due: deque[tuple[float, str, Sequence[int]]] = deque()

    def members(self, workers: Sequence[str]) -> None:
        """Keeps these workers' blocks."""
        self._told = {name: self._told.get(name, set()) for name in workers}
        self._expected = {name: self._expected.get(name, {}) for name in workers}

    def heard(self, worker: str, state: State) -> None:
        """Takes a message in."""
        told = self._told.setdefault(worker, set())
        if state.snapshot:
            told.clear()
        told.difference_update(state.dropped)
        told.update(state.stored)

    def expect(self, worker: str, blocks: Sequence[int], now: float) -> None:
        """`blocks` were sent there."""
        if self._expected_ms:
            self._expected[worker].update(dict.fromkeys(blocks, now + self._expected_ms))
            self._due.append((now + self._expected_ms, worker, blocks))

    def run(self, worker: str, blocks: Sequence[int], now: float) -> int:
        """How many leading blocks the worker has or is about to have."""
        self._expire(now)
        told, expected = self._told[worker], self._expected[worker]
        if not expected:
            return run_length(blocks, told)
        return next((n for n, block in enumerate(blocks) if block not in told and block not in expected), len(blocks))

    def _expire(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            due, worker, blocks = self._due.popleft()
            expected = self._expected.get(worker, {})
            for block in blocks:
                if expected.get(block) == due:
                    del expected[block]


class PlacedIndex:
    """Blocks that were sent to workers, the most recent `capacity` of each; None = all."""

    def __init__(self, capacity: int | None) -> None:
        self._capacity = capacity
        self._sent: dict[str, OrderedDict[int, None]] = {}

    def members(self, workers: Sequence[str]) -> None:
        """Keeps these workers' blocks."""
        self._sent = {name: self._sent.get(name, OrderedDict()) for name in workers}

    def expect(self, worker: str, blocks: Sequence[int]) -> None:
        """`blocks` were sent there."""
        sent = self._sent[worker]
        for block in blocks:
            sent[block] = None
            sent.move_to_end(block)
        while self._capacity is not None and len(sent) > self._capacity:
            sent.popitem(last=False)

    def run(self, worker: str, blocks: Sequence[int]) -> int:
        """How many leading blocks the worker is thought to have."""
        return run_length(blocks, self._sent[worker])
