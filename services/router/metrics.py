"""The router's metrics. RPC durations and counts come with every service (libs.telemetry)."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from libs.telemetry.metrics import NO_LABELS, NoLabels, Registry
from services.router.domain.binding_cache import BindingCache
from services.router.domain.caches import Caches
from services.router.domain.outcomes import Outcomes
from services.router.domain.worker import WorkerState
from services.router.ports import BindingStore
from services.router.usecases.fleet import Fleet


class ReasonLabels(NamedTuple):
    """See PlaceReason."""

    reason: str


class OutcomeLabels(NamedTuple):
    """See BindingOutcome."""

    outcome: str


class StateLabels(NamedTuple):
    """See WorkerState."""

    state: str


class AttemptLabels(NamedTuple):
    """`worker` is one of the settings'; `outcome` is "failed", "refused" or "other" (no fault of its)."""

    worker: str
    outcome: str


class CacheLabels(NamedTuple):
    """`worker` is one of the settings'; `kind` is "predicted" or "reported" (by its engine)."""

    worker: str
    kind: str


class WorkerLabels(NamedTuple):
    """`worker` is one of the settings'."""

    worker: str


class RouterMetrics:
    """Declares the instruments; as an `Observer` it counts."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        # First places by reason: the share of "bound" is the share of calls that went to their cache.
        self._placed = registry.counter("headrace_router_places_total", "Plans made, by first reason.", ReasonLabels)
        # "moved" follows lost workers, "uncertain" a lost store.
        self._bindings = registry.counter(
            "headrace_router_bindings_total", "Sessions asked of the store, by outcome.", OutcomeLabels
        )

        self._attempts = registry.counter(
            "headrace_router_reported_attempts_total", "Attempts that gateways reported.", AttemptLabels
        )
        # Their difference is how far this router is wrong on a cache; a worker that drifts is asked for a snapshot.
        self._cached = registry.counter(
            "headrace_router_cached_tokens_total",
            "Cached prompt tokens of foretold answers.",
            CacheLabels,
        )
        self._predictions = registry.counter(
            "headrace_router_predictions_total", "Answers whose plan foretold what would be cached.", WorkerLabels
        )

    def reported(self, told: Outcomes) -> None:
        """See OutcomeObserver."""
        others = max(0, told.attempts - told.failures - told.refusals)
        for outcome, count in (("failed", told.failures), ("refused", told.refusals), ("other", others)):
            if count:
                self._attempts.inc(AttemptLabels(told.worker, outcome), count)
        if told.predictions:
            self._predictions.inc(WorkerLabels(told.worker), told.predictions)
            self._cached.inc(CacheLabels(told.worker, "predicted"), told.cached_tokens_predicted)
            self._cached.inc(CacheLabels(told.worker, "reported"), told.cached_tokens_reported)

    def placed(self, reason: str) -> None:
        """See Observer."""
        self._placed.inc(ReasonLabels(reason))

    def bound(self, outcome: str) -> None:
        """See Observer."""
        self._bindings.inc(OutcomeLabels(outcome))

    def watch(self, fleet: Fleet, cache: BindingCache, store: BindingStore) -> None:
        """Gauges that are read at each scrape."""
        workers = self._registry.gauge("headrace_router_workers", "Workers of the settings, by state.", StateLabels)
        for state in WorkerState:
            workers.read_from(StateLabels(state), partial(_count, fleet, state))
        self._gauge("headrace_router_sessions_cached", "Sessions known without the store.", lambda: len(cache))
        self._gauge("headrace_router_store_up", "1 while the binding store answers.", lambda: store.up)

    def watch_caches(self, caches: Caches) -> None:
        """Gauges of the block index, read at each scrape."""
        self._gauge("headrace_router_blocks", "Different KV blocks that workers hold.", lambda: caches.index.blocks)
        self._gauge("headrace_router_blocks_bytes", "Memory of the block index.", lambda: caches.index.bytes_used)
        self._gauge(
            "headrace_router_prompts_expected",
            "Prompts sent that workers have not confirmed.",
            lambda: len(caches.expected),
        )
        # "count" when a worker's blocks do not add up, "drift" when its answers differ from what was foreseen.
        resyncs = self._registry.gauge("headrace_router_resyncs", "Snapshots asked for, by cause.", ReasonLabels)
        for reason in caches.resyncs:
            resyncs.read_from(ReasonLabels(reason), partial(caches.resyncs.__getitem__, reason))

    def _gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        self._registry.gauge(name, text, NoLabels).read_from(NO_LABELS, read)


def _count(fleet: Fleet, state: WorkerState) -> float:
    return Count(worker.state for worker in fleet.workers)[state]
