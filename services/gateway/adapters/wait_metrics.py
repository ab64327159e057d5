"""Metrics of calls that wait because every worker of their model pushes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from libs.telemetry.metrics import NO_LABELS, NoLabels, Registry


class WaitLabels(NamedTuple):
    """`outcome` is "served", "refused" or "gone"; see ports.WaitObserver."""

    outcome: str


class RefusalLabels(NamedTuple):
    """`why` is "full", "hopeless", "late", "displaced" or "background"; see ports.WaitObserver."""

    why: str


class PoolLabels(NamedTuple):
    """`model` is a name of the catalog."""

    model: str


class WaitMetrics:
    """See ports.WaitObserver."""

    def __init__(self, registry: Registry) -> None:
        self._waited = registry.histogram(
            "headrace_gateway_queue_wait_seconds", "Time in the queue, by how it ended.", WaitLabels
        )
        # "full" and "displaced": too little room (queue.waiting_max, queue.tenant_max) or too few workers.
        # "hopeless": too few workers. "late": a wait took longer than was expected; workers have got slower.
        # "background": work of jobs found no spare place; it waits with the jobs.
        self._refused = registry.counter(
            "headrace_gateway_queue_refused_total", "Calls told to come back later.", RefusalLabels
        )
        # A limit far below what the workers could run means that their queues are long: too few of them, or too slow.
        self._limit = registry.gauge(
            "headrace_gateway_inflight_limit", "Calls of a model that may be under way at once.", PoolLabels
        )
        self._in_flight = registry.gauge("headrace_gateway_inflight", "Calls of a model under way.", PoolLabels)
        self._waiting = registry.gauge("headrace_gateway_queue_waiting", "Calls that wait for a worker.", NoLabels)

    def read_from(self, waiting: Callable[[], int]) -> None:
        """Where the number of those who wait is read at each scrape."""
        self._waiting.read_from(NO_LABELS, waiting)

    def waited(self, outcome: str, seconds: float) -> None:
        """See ports.WaitObserver."""
        self._waited.observe(WaitLabels(outcome), seconds)

    def refused(self, why: str) -> None:
        """See ports.WaitObserver."""
        self._refused.inc(RefusalLabels(why))

    def opened(self, model: str, limit: Callable[[], int], in_flight: Callable[[], int]) -> None:
        """See ports.WaitObserver."""
        self._limit.read_from(PoolLabels(model), limit)
        self._in_flight.read_from(PoolLabels(model), in_flight)
