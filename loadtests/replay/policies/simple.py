"""The rules everybody knows: round-robin, session hash, longest prefix."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from hashlib import blake2b

from loadtests.replay.feed import State
from loadtests.replay.run import Surroundings
from loadtests.replay.trace import Request


class Rule:
    """Knows who is alive, hears nothing."""

    listens = False

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._workers: list[str] = []

    def members(self, workers: Sequence[str], now: float) -> None:  # noqa: ARG002 -- Policy's shape
        """See Policy."""
        self._workers = list(workers)

    def heard(self, worker: str, state: State, now: float) -> None:
        """See Policy."""

    def first_token(self, request: Request, worker: str, now: float) -> None:
        """See Policy."""

    def finished(self, request: Request, worker: str, now: float) -> None:
        """See Policy."""


class RoundRobin(Rule):
    """One after the other."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._next = 0

    def place(self, request: Request, now: float) -> str:  # noqa: ARG002 -- Policy's shape
        """See Policy."""
        self._next += 1
        return self._workers[(self._next - 1) % len(self._workers)]


class SessionHash(Rule):
    """Consistent hashing of the session on a ring of 160 points per worker.

    Points and key as vllm-router's `consistent_hash` (vllm-project/router 03e9af5, src/main.rs: virtual_nodes 160). The
    trace has no sessions: those derived by `trace.with_sessions` stand in.
    """

    POINTS = 160

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._ring: list[tuple[int, str]] = []

    def members(self, workers: Sequence[str], now: float) -> None:
        """See Policy."""
        super().members(workers, now)
        self._ring = sorted((_hash(f"{name}#{point}"), name) for name in workers for point in range(self.POINTS))

    def place(self, request: Request, now: float) -> str:  # noqa: ARG002 -- Policy's shape
        """See Policy."""
        index = bisect_left(self._ring, (_hash(request.session), ""))
        return self._ring[index % len(self._ring)][1]


class PrefixOnly(Rule):
    """Where most of the prompt has been sent before, whatever the load; ties at random.

    It remembers its own placements, without a bound, and forgets a lost worker's.
    """

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._seen: dict[str, set[int]] = {}

    def members(self, workers: Sequence[str], now: float) -> None:
        """See Policy."""
        super().members(workers, now)
        self._seen = {name: self._seen.get(name, set()) for name in workers}

    def place(self, request: Request, now: float) -> str:  # noqa: ARG002 -- Policy's shape
        """See Policy."""
        rng, blocks = self._around.rng, request.blocks
        chosen = max(self._workers, key=lambda name: (run_length(blocks, self._seen[name]), rng.random()))
        self._seen[chosen].update(blocks)
        return chosen


def run_length(blocks: Sequence[int], held: object) -> int:
    """How many leading blocks are in `held`."""
    return next((n for n, block in enumerate(blocks) if block not in held), len(blocks))  # type: ignore[operator]


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
