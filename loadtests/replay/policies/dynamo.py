"""NVIDIA Dynamo's KV router.

Rule: ai-dynamo/dynamo 07a6c9c, lib/kv-router/src/scheduling/selector/default.rs; defaults: 0243c51, …/config.rs:

    cost = prefill_load_scale * max(0, raw prefill blocks - overlap_score_credit * overlap blocks) + decode blocks

lowest first, ties at random (router_temperature 0). Raw prefill blocks are this prompt's and those of the worker's
calls without a first token (what they had cached left out); decode blocks are the distinct blocks of its open calls,
this one included. Overlap comes from KV events; placements are not expected in the index (router_predicted_ttl_secs
unset). The queue inside the router (beyond 16 batches of prompt tokens) is left out.
"""

from __future__ import annotations

from collections import Counter

from loadtests.replay.feed import State
from loadtests.replay.policies.indexes import EventIndex
from loadtests.replay.policies.simple import Rule
from loadtests.replay.run import Surroundings
from loadtests.replay.trace import Request


class Dynamo(Rule):
    """See above."""

    listens = True

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._index = EventIndex()
        self._prefill: Counter[str] = Counter()
        self._active: dict[str, Counter[int]] = {}
        self._open: dict[tuple[int, str], int] = {}  # blocks to prefill of calls without a first token

    def members(self, workers: list[str], now: float) -> None:  # type: ignore[override]
        """See Policy."""
        super().members(workers, now)
        self._index.members(workers)
        self._active = {name: self._active.get(name, Counter()) for name in workers}
        self._prefill = Counter({name: self._prefill[name] for name in workers})

    def heard(self, worker: str, state: State, now: float) -> None:  # noqa: ARG002 -- Policy's shape
        """See Policy."""
        self._index.heard(worker, state)

    def place(self, request: Request, now: float) -> str:
        """See Policy."""
        overlap = {name: self._index.run(name, request.blocks, now) for name in self._workers}
        chosen = min(
            self._workers, key=lambda name: (self._cost(name, request, overlap[name]), self._around.rng.random())
        )
        left = self._open[request.number, chosen] = len(request.blocks) - overlap[chosen]
        self._prefill[chosen] += left
        self._active[chosen].update(request.blocks)
        return chosen

    def first_token(self, request: Request, worker: str, now: float) -> None:  # noqa: ARG002 -- Policy's shape
        """See Policy."""
        self._prefill[worker] -= self._open.pop((request.number, worker), 0)

    def finished(self, request: Request, worker: str, now: float) -> None:
        """See Policy."""
        self.first_token(request, worker, now)
        active = self._active.get(worker)
        if active is None:
            return
        for block in request.blocks:
            active[block] -= 1
            if not active[block]:
                del active[block]

    def _cost(self, name: str, request: Request, overlap: int) -> float:
        active = self._active[name]
        prefill = max(0, self._prefill[name] + len(request.blocks) - overlap)
        return prefill + len(active) + sum(block not in active for block in request.blocks)
