"""The platform's own rule: the router's production code, fed by its workers' messages and by nothing else.

Requests go through `Placing`, messages as protobuf through `convert` into the registry, over addresses of which those
that never spoke are unreachable. Sessions, where they are asked for, are bound in a store in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from headrace.inference.v1 import inference_pb2 as inference

from libs.block_hash import packed
from loadtests.replay.feed import State
from loadtests.replay.run import Surroundings
from loadtests.replay.trace import BLOCK_TOKENS, Request
from services.router import convert
from services.router.composition.placement import caches_of, placement_of
from services.router.domain.binding import Binding, Bound, SessionKey
from services.router.domain.binding_cache import BindingCache
from services.router.domain.plan import PlanRule
from services.router.domain.registry import Registry, Verdict
from services.router.settings import BindingSettings, LivenessSettings, PlacementSettings
from services.router.usecases.fleet import Fleet
from services.router.usecases.placing import Placed, PlaceQuery, Placing, PlacingRule

_MODEL = "replayed"
_WORKERS_MAX = 64
_UNLIMITED_BLOCKS = 1 << 30


class ReplayClock:
    """The replay's time, in seconds."""

    def __init__(self) -> None:
        self.now_ms = 0.0

    def monotonic(self) -> float:
        """See Clock."""
        return self.now_ms / 1000

    def unix(self) -> float:
        """See Clock."""
        return self.now_ms / 1000

    async def sleep(self, seconds: float) -> None:
        """Nothing here waits."""
        raise AssertionError(seconds)


class FirstWins:
    """Bindings as the store keeps them, as fast as memory."""

    up = True

    def __init__(self) -> None:
        self._stored: dict[SessionKey, Binding] = {}

    async def bind(self, key: SessionKey, worker: str, version: int) -> Bound:
        """See BindingStore."""
        stored = self._stored.get(key)
        if stored is not None and stored.version != version:
            return Bound(stored, written=False)
        if stored is not None and stored.worker == worker:
            return Bound(stored, written=False)
        made = self._stored[key] = Binding(worker, version + 1)
        return Bound(made, written=True)


@dataclass(slots=True)
class Reasons:
    """Counts why workers were chosen; an Observer."""

    places: Counter[str]

    def placed(self, reason: str) -> None:
        """See Observer."""
        self.places[reason] += 1

    def bound(self, outcome: str) -> None:
        """See Observer."""


class Headrace:
    """`sessions`: calls carry their session, and are bound; else each is placed on its own, by its blocks."""

    listens = True

    def __init__(
        self, around: Surroundings, settings: PlacementSettings | None = None, *, sessions: bool = False
    ) -> None:
        place = settings or PlacementSettings()
        self._sessions = sessions
        self._blocks_max = around.cache_blocks or _UNLIMITED_BLOCKS
        self._clock = ReplayClock()
        self.caches = caches_of(place)
        addresses = [f"w{n}" for n in range(_WORKERS_MAX)]
        self.registry = Registry(addresses, LivenessSettings().silence_ms / 1000, self.caches)
        self.reasons = Reasons(Counter())
        self._alive: set[str] = set()
        bindings = BindingSettings()
        self._placing = Placing(
            Fleet(self.registry, self._clock),
            BindingCache(bindings.cache_size_max, bindings.cache_idle_seconds),
            FirstWins(),
            placement_of(place, self.caches, around.rng.random),
            # Compared with the store never: here it is one process, and it is the only one.
            PlacingRule(PlanRule(place.load_factor, place.places_max), float("inf")),
            self.reasons,
            clock=self._clock,
            random=around.rng.random,
        )

    def members(self, workers: Sequence[str], now: float) -> None:
        """See Policy."""
        self._clock.now_ms = now
        for gone in self._alive.difference(workers):
            self.registry.lost(gone)
        self._alive = set(workers)

    def heard(self, worker: str, state: State, now: float) -> None:
        """See Policy."""
        self._clock.now_ms = now
        wire = inference.WatchStateResponse(
            boot_id=state.boot_id,
            sequence=state.sequence,
            snapshot=state.snapshot,
            running=state.running,
            waiting=state.waiting,
            kv_use=state.kv_use,
            healthy=True,
            stored=_wire(state.stored),
            dropped=_wire(state.dropped),
            blocks_held=state.held,
            queue_ms=state.queue_ms,
        )
        verdict = self.registry.heard(worker, convert.state_message(wire), now / 1000)
        if verdict is Verdict.DESCRIBE:
            self.registry.described(worker, convert.description(self._description(worker, state.boot_id)))
        elif verdict is Verdict.RESUBSCRIBE:
            raise AssertionError(f"the router lost count of {worker}'s blocks, though nothing gets lost here")

    def place(self, request: Request, now: float) -> str:
        """See Policy."""
        self._clock.now_ms = now
        query = PlaceQuery(
            request.tenant,
            _MODEL,
            "",
            request.session if self._sessions else "",
            "",
            convert.NOBODY,
            request.input_tokens,
            request.hashes,
            request.root_session if self._sessions else "",
        )
        return (self._placing.at_once(query) or self._run(query)).places[0].worker.name

    def first_token(self, request: Request, worker: str, now: float) -> None:
        """The router is not in the data path."""

    def finished(self, request: Request, worker: str, now: float) -> None:
        """The router is not in the data path."""

    def _run(self, query: PlaceQuery) -> Placed:
        """The store answers at once, so the coroutine never waits."""
        try:
            self._placing.place(query).send(None)
        except StopIteration as done:
            placed: Placed = done.value
            return placed
        raise AssertionError("the store in memory made its caller wait")

    def _description(self, worker: str, boot_id: str) -> inference.DescribeModelResponse:
        return inference.DescribeModelResponse(
            worker=worker,
            boot_id=boot_id,
            model=_MODEL,
            model_digest="d",
            capabilities=inference.Capabilities(kv_events=True),
            capacity=inference.Capacity(block_tokens=BLOCK_TOKENS, blocks=self._blocks_max, running_max=256),
        )


def settings_with(**changes: float) -> PlacementSettings:
    """The production settings but for `changes`, for sensitivity tables."""
    return PlacementSettings().model_copy(update=changes)


def _wire(blocks: list[int]) -> bytes:
    return packed(np.array(blocks, np.uint64)) if blocks else b""
