"""Typed Prometheus instruments: declared once in a service's metrics.py, labels are NamedTuples, series are bounded.

class CallLabels(NamedTuple):
    model: str
    outcome: Literal["ok", "error"]

calls = registry.counter("headrace_gateway_calls_total", "Chat calls that ended.", CallLabels)
calls.inc(CallLabels("small", "ok"))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from libs.telemetry import names
from libs.telemetry.instruments import Counter, Gauge, Histogram, Instrument, L

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class NoLabels(NamedTuple):
    """The labels of an instrument that has none."""


class _MetricLabels(NamedTuple):
    metric: str


NO_LABELS = NoLabels()
I = TypeVar("I", bound=Instrument[Any, Any])  # noqa: E741  stands for any instrument


class Registry(Collector):
    """The instruments of one process. A name is declared once: a repeat raises ValueError."""

    def __init__(self) -> None:
        self.collector = CollectorRegistry()
        self._instruments: dict[str, Instrument[Any, Any]] = {}
        prometheus_client.ProcessCollector(registry=self.collector)
        prometheus_client.PlatformCollector(registry=self.collector)
        prometheus_client.GCCollector(registry=self.collector)
        self._folded = self.counter(names.METRIC_SERIES_FOLDED, "Label sets counted as other.", _MetricLabels)
        self.collector.register(self)

    def counter(self, name: str, text: str, labels: type[L]) -> Counter[L]:
        """A counter; the name ends in _total."""
        return self._declared(Counter(name, text, labels, self._fold))

    def gauge(self, name: str, text: str, labels: type[L]) -> Gauge[L]:
        """A gauge."""
        return self._declared(Gauge(name, text, labels, self._fold))

    def histogram(
        self, name: str, text: str, labels: type[L], buckets: Sequence[float] = LATENCY_BUCKETS
    ) -> Histogram[L]:
        """A histogram; the default buckets suit seconds from 1 ms to 2 min."""
        return self._declared(Histogram(name, text, labels, self._fold, buckets))

    def render(self) -> tuple[str, bytes]:
        """Content type and body of /metrics."""
        return CONTENT_TYPE_LATEST, generate_latest(self.collector)

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        for instrument in list(self._instruments.values()):
            yield instrument.family()

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that registering does not collect; names are checked when they are declared."""
        return iter(())

    def _declared(self, instrument: I) -> I:
        if instrument.name in self._instruments:
            raise ValueError(f"Duplicated metric {instrument.name}: a name is declared once")
        self._instruments[instrument.name] = instrument
        return instrument

    def _fold(self, name: str) -> None:
        self._folded.inc(_MetricLabels(name))
