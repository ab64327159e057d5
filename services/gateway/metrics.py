"""Metrics of the gateway. Labels are bounded: routes and statuses, never a key, a session or a client's model name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from libs.telemetry.metrics import NO_LABELS, NoLabels, Registry


class RequestLabels(NamedTuple):
    """`route` is "chat", "jobs", "files", "batches", "grpc_chat", "grpc_jobs" or "other"; `status` is the HTTP status,
    499 = the client had gone.
    """

    route: str
    status: int


class RouteLabels(NamedTuple):
    """See RequestLabels."""

    route: str


class HoldLabels(NamedTuple):
    """`outcome`: "ok", "unavailable", "ended", "life", or the kind of limit that refused (domain/ledger/types.py)."""

    outcome: str


class EndLabels(NamedTuple):
    """`end`: "settled", "refunded" or "expired"."""

    end: str


class WorkLabels(NamedTuple):
    """`outcome`: "answered", "replayed" (an earlier answer), "refused", or "again" (nothing came of it for now)."""

    outcome: str


class WorkMetrics:
    """What is counted of requests for which nobody waits."""

    def __init__(self, registry: Registry, making: Callable[[], int]) -> None:
        # "again" beside few "answered": jobs ask for places that live calls need, or workers are away.
        self._performed = registry.counter(
            "headrace_gateway_work_total", "Requests of jobs, by what came of them.", WorkLabels
        )
        making_now = registry.gauge("headrace_gateway_work_making", "Answers for jobs that are being made.", NoLabels)
        making_now.read_from(NO_LABELS, making)

    def performed(self, outcome: str) -> None:
        """A request was asked for, and this came of it."""
        self._performed.inc(WorkLabels(outcome))


class LedgerMetrics:
    """What the ledger's keeper counts."""

    def __init__(self, registry: Registry) -> None:
        self._holds = registry.counter(
            "headrace_gateway_holds_total", "Holds asked for, by what came of it.", HoldLabels
        )
        self._ends = registry.counter("headrace_gateway_holds_ended_total", "Holds that ended.", EndLabels)
        # Answers that ended before their max_tokens because no more could be held.
        self._truncated = registry.counter(
            "headrace_gateway_truncated_total",
            "Answers cut short by a budget, a key taken back, or an unreachable store.",
            NoLabels,
        )
        self._running = registry.gauge("headrace_gateway_holds_running", "Holds of running calls.", NoLabels)
        # More than a few for longer than a moment: the store does not take what calls cost.
        self._untold = registry.gauge(
            "headrace_gateway_holds_untold", "Ends that the store does not have yet.", NoLabels
        )

    def watch(self, running: Callable[[], int], untold: Callable[[], int]) -> None:
        """Where the gauges are read."""
        self._running.read_from(NO_LABELS, running)
        self._untold.read_from(NO_LABELS, untold)

    def held(self, outcome: str) -> None:
        """Counts a hold that was asked for."""
        self._holds.inc(HoldLabels(outcome))

    def ended(self, end: str, count: int = 1) -> None:
        """Counts holds that have ended."""
        self._ends.inc(EndLabels(end), count)

    def truncated(self) -> None:
        """Counts an answer that was cut short."""
        self._truncated.inc(NO_LABELS)


class RestMetrics:
    """What the public face counts."""

    def __init__(self, registry: Registry, streams: Callable[[], int] = lambda: 0) -> None:
        self._requests = registry.counter(
            "headrace_gateway_requests_total", "Requests that ended, gRPC calls included.", RequestLabels
        )
        # From the request's head to the answer's last byte: long streams are long requests.
        self._seconds = registry.histogram("headrace_gateway_request_seconds", "Time to the end.", RouteLabels)
        # Deltas that are ready together share a write: writes per token say how well that works.
        self._writes = registry.counter(
            "headrace_gateway_stream_writes_total", "Socket writes of streamed answers.", NoLabels
        )
        # Clients that read nothing for longer than rest.write_stall_seconds.
        self._slow_readers = registry.counter("headrace_gateway_slow_readers_total", "Slow readers cut.", NoLabels)
        running = registry.gauge("headrace_gateway_streams", "Streamed answers running.", NoLabels)
        running.read_from(NO_LABELS, streams)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts one request that has ended."""
        self._requests.inc(RequestLabels(route, status))
        self._seconds.observe(RouteLabels(route), seconds)

    def streamed(self, writes: int, *, slow_reader: bool) -> None:
        """Counts one streamed answer that has ended."""
        self._writes.inc(NO_LABELS, writes)
        if slow_reader:
            self._slow_readers.inc(NO_LABELS)
