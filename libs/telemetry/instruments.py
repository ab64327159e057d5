"""Counters, gauges and histograms whose update costs a few hundred nanoseconds.

prometheus_client's own take about 2 µs each, with a lock, and several stand on the way of every call. These are written
by one thread, the event loop's; a scrape reads them from another and may miss the update of that very moment.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar, cast

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

# Labels are bounded by design (models, workers, reasons); this bound holds when a design was wrong.
SERIES_MAX = 1000
OTHER = "other"

Labels = tuple[Any, ...]
L = TypeVar("L", bound=Labels)
C = TypeVar("C")


class Instrument(Generic[L, C]):
    """Cells by label set. Past the bound, new label sets share the cell "other", and `folded` hears of each."""

    def __init__(self, name: str, text: str, labels: type[L], folded: Callable[[str], None]) -> None:
        self.name, self._text, self._folded = name, text, folded
        self._fields = cast("tuple[str, ...]", getattr(labels, "_fields"))  # noqa: B009  NamedTuple has no base type
        self._cells: dict[Labels, C] = {}
        if not self._fields:
            self._cells[()] = self._empty()

    def _empty(self) -> C:
        raise NotImplementedError

    def _admitted(self, labels: Labels) -> Labels:
        """The label set that counts; its cell exists."""
        if labels not in self._cells and len(self._cells) >= SERIES_MAX:
            self._folded(self.name)
            labels = (OTHER,) * len(self._fields)
        self._cells.setdefault(labels, self._empty())
        return labels

    def _read(self) -> Iterator[tuple[list[str], C]]:
        for labels, cell in list(self._cells.items()):
            yield [str(value) for value in labels], cell

    def family(self) -> Metric:
        """What a scrape sees."""
        raise NotImplementedError


class Counter(Instrument[L, float]):
    """Counts up."""

    def _empty(self) -> float:
        return 0.0

    def inc(self, labels: L, amount: float = 1) -> None:
        """Adds `amount` ≥ 0."""
        try:
            self._cells[labels] += amount
        except KeyError:
            self._cells[self._admitted(labels)] += amount

    def family(self) -> Metric:
        """See Instrument."""
        family = CounterMetricFamily(self.name, self._text, labels=self._fields)
        for labels, value in self._read():
            family.add_metric(labels, value)
        return family


class Gauge(Instrument[L, float | Callable[[], float]]):
    """A value that goes up and down."""

    def _empty(self) -> float:
        return 0.0

    def set(self, labels: L, value: float) -> None:
        """Replaces the value."""
        self._cells[labels if labels in self._cells else self._admitted(labels)] = value

    def inc(self, labels: L, amount: float = 1) -> None:
        """Adds `amount`, which may be negative. Not for a gauge that is read at the scrape."""
        key = labels if labels in self._cells else self._admitted(labels)
        self._cells[key] += amount  # type: ignore[operator]

    def read_from(self, labels: L, read: Callable[[], float]) -> None:
        """Asks `read` at each scrape instead, from the scraping thread."""
        self._cells[self._admitted(labels)] = read

    def family(self) -> Metric:
        """See Instrument."""
        family = GaugeMetricFamily(self.name, self._text, labels=self._fields)
        for labels, value in self._read():
            family.add_metric(labels, value() if callable(value) else value)
        return family


class _Distribution:
    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.total = 0.0


class Histogram(Instrument[L, _Distribution]):
    """A distribution in fixed buckets. `bounds` are the upper ends, rising; the last bucket has none."""

    def __init__(
        self, name: str, text: str, labels: type[L], folded: Callable[[str], None], bounds: Sequence[float]
    ) -> None:
        self._bounds = [*bounds]
        super().__init__(name, text, labels, folded)

    def _empty(self) -> _Distribution:
        return _Distribution(len(self._bounds) + 1)

    def observe(self, labels: L, value: float) -> None:
        """Adds one observation, in the unit of the name."""
        cell = self._cells.get(labels) or self._cells[self._admitted(labels)]
        cell.counts[bisect_left(self._bounds, value)] += 1
        cell.total += value

    def family(self) -> Metric:
        """See Instrument."""
        family = HistogramMetricFamily(self.name, self._text, labels=self._fields)
        ends = [floatToGoString(bound) for bound in [*self._bounds, float("inf")]]
        for labels, cell in self._read():
            sums = [sum(cell.counts[: index + 1]) for index in range(len(ends))]
            family.add_metric(labels, list(zip(ends, sums, strict=True)), cell.total)
        return family
