"""Typed Prometheus instruments: declared once in a service's metrics.py, labels are NamedTuples, series are bounded.

class CallLabels(NamedTuple):
    model: str
    outcome: Literal["ok", "error"]

calls = registry.counter("headrace_gateway_calls_total", "Chat calls that ended.", CallLabels)
calls.inc(CallLabels("small", "ok"))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar, cast

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from libs.telemetry import names

# Labels are bounded by design (models, workers, reasons); this bound holds when a design was wrong.
SERIES_MAX = 1000
OTHER = "other"
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class NoLabels(NamedTuple):
    """The labels of an instrument that has none."""


NO_LABELS = NoLabels()
L = TypeVar("L", bound=tuple[Any, ...])


class _Series(Generic[L]):
    """The children of one instrument by their labels; past the bound, new label values count as "other"."""

    def __init__(self, instrument: Any, labels: type[L], folded: Callable[[], None]) -> None:
        self._instrument, self._folded = instrument, folded
        self._names = cast("tuple[str, ...]", getattr(labels, "_fields"))  # noqa: B009  NamedTuple has no base type
        self._children: dict[tuple[Any, ...], Any] = {}

    def child(self, labels: tuple[Any, ...]) -> Any:
        """The prometheus_client child; one dict look-up once the series exists."""
        found = self._children.get(labels)
        return found if found is not None else self._new(labels)

    def _new(self, labels: tuple[Any, ...]) -> Any:
        if not self._names:
            self._children[labels] = self._instrument
            return self._instrument
        if len(self._children) >= SERIES_MAX:
            self._folded()
            labels = (OTHER,) * len(self._names)
        child = self._instrument.labels(*map(str, labels))
        self._children[labels] = child
        return child


class Counter(_Series[L]):
    """Counts up."""

    def inc(self, labels: L, amount: float = 1) -> None:
        """Adds `amount` ≥ 0."""
        self.child(labels).inc(amount)


class Gauge(_Series[L]):
    """A value that goes up and down."""

    def set(self, labels: L, value: float) -> None:
        """Replaces the value."""
        self.child(labels).set(value)

    def inc(self, labels: L, amount: float = 1) -> None:
        """Adds `amount`, which may be negative."""
        self.child(labels).inc(amount)

    def read_from(self, labels: L, read: Callable[[], float]) -> None:
        """Asks `read` at each scrape instead, from the scraping thread."""
        self.child(labels).set_function(read)


class Histogram(_Series[L]):
    """A distribution in fixed buckets."""

    def observe(self, labels: L, value: float) -> None:
        """Adds one observation, in the unit of the name."""
        self.child(labels).observe(value)


class Registry:
    """The instruments of one process. A name is declared once: a repeat raises ValueError."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self._registry)
        prometheus_client.PlatformCollector(registry=self._registry)
        prometheus_client.GCCollector(registry=self._registry)
        self._folded = prometheus_client.Counter(
            names.METRIC_SERIES_FOLDED, "Label sets counted as other.", ["metric"], registry=self._registry
        )

    @property
    def collector(self) -> CollectorRegistry:
        """For prometheus_client's own server."""
        return self._registry

    def counter(self, name: str, text: str, labels: type[L]) -> Counter[L]:
        """A counter; the name ends in _total."""
        made = prometheus_client.Counter(name, text, _fields(labels), registry=self._registry)
        return Counter(made, labels, self._fold(name))

    def gauge(self, name: str, text: str, labels: type[L]) -> Gauge[L]:
        """A gauge."""
        made = prometheus_client.Gauge(name, text, _fields(labels), registry=self._registry)
        return Gauge(made, labels, self._fold(name))

    def histogram(
        self, name: str, text: str, labels: type[L], buckets: Sequence[float] = LATENCY_BUCKETS
    ) -> Histogram[L]:
        """A histogram; the default buckets suit seconds from 1 ms to 2 min."""
        made = prometheus_client.Histogram(name, text, _fields(labels), registry=self._registry, buckets=buckets)
        return Histogram(made, labels, self._fold(name))

    def render(self) -> tuple[str, bytes]:
        """Content type and body of /metrics."""
        return CONTENT_TYPE_LATEST, generate_latest(self._registry)

    def _fold(self, name: str) -> Callable[[], None]:
        return lambda: self._folded.labels(name).inc()


def _fields(labels: type[tuple[Any, ...]]) -> tuple[str, ...]:
    return cast("tuple[str, ...]", getattr(labels, "_fields"))  # noqa: B009  NamedTuple has no base type
