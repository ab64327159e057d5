"""Metrics of the gateway. Labels are bounded: routes and statuses, never a key, a session or a client's model name.

Names and units are Prometheus's; the instruments live in the registry that `/metrics` serves.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class RestMetrics:
    """What the public face counts."""

    def __init__(self, registry: CollectorRegistry, streams: Callable[[], int] = lambda: 0) -> None:
        # Every HTTP request and public gRPC call: route "chat", "grpc_chat" or "other"; status 499 = client gone.
        self.requests = Counter(
            "headrace_gateway_requests", "Requests by route and status.", ("route", "status"), registry=registry
        )
        # From the request's first byte to the answer's last; long streams are long requests.
        self.seconds = Histogram(
            "headrace_gateway_request_seconds",
            "Time to the end of the reply.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        # Socket writes of streamed answers: deltas that are ready together share one.
        self.frames = Counter("headrace_gateway_stream_writes", "Writes of streamed answers.", registry=registry)
        # Clients cut because they did not read for longer than rest.write_stall_seconds.
        self.slow_readers = Counter("headrace_gateway_slow_readers", "Slow readers cut.", registry=registry)
        # Streamed answers that are running.
        running = Gauge("headrace_gateway_streams", "Streamed answers running.", registry=registry)
        running.set_function(streams)
        self._requests: dict[tuple[str, int], Counter] = {}
        self._seconds: dict[str, Histogram] = {}

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts one request that has ended."""
        counter = self._requests.get((route, status))
        if counter is None:
            counter = self._requests[route, status] = self.requests.labels(route, str(status))
        counter.inc()
        timer = self._seconds.get(route)
        if timer is None:
            timer = self._seconds[route] = self.seconds.labels(route)
        timer.observe(seconds)
