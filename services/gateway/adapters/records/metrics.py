"""Metrics of request records, and one log line when writing them begins to fail or works again."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from libs.telemetry import get_logger
from libs.telemetry.metrics import NO_LABELS, NoLabels, Registry

_log = get_logger("gateway.records")


class LossLabels(NamedTuple):
    """`what` is "text" (the record is kept without) or "record"."""

    what: str


class RecordMetrics:
    """See ports.records.RecordWatch."""

    def __init__(self, registry: Registry) -> None:
        self._written = registry.counter("headrace_gateway_records_written_total", "Request records kept.", NoLabels)
        self._bytes = registry.counter("headrace_gateway_records_bytes_total", "Their size in blobs.", NoLabels)
        # Too much at once (records.text_bytes_max, records.waiting_max), or stores that were away for too long.
        self._lost = registry.counter("headrace_gateway_records_lost_total", "What could not be kept.", LossLabels)
        self._failed = registry.counter("headrace_gateway_records_failed_total", "Writes to be repeated.", NoLabels)
        self._purged = registry.counter("headrace_gateway_records_purged_total", "Blobs past their days.", NoLabels)
        self._waiting = registry.gauge("headrace_gateway_records_waiting", "Records not written yet.", NoLabels)
        self._failing = self._losing = False

    def read_from(self, waiting: Callable[[], int]) -> None:
        """Where the number of those that wait is read at each scrape."""
        self._waiting.read_from(NO_LABELS, waiting)

    def written(self, records: int, size: int) -> None:
        """See RecordWatch."""
        self._written.inc(NO_LABELS, records)
        self._bytes.inc(NO_LABELS, size)
        if self._failing or self._losing:
            _log.info("request records are written again")
        self._failing = self._losing = False

    def lost(self, what: str, count: int = 1) -> None:
        """See RecordWatch."""
        self._lost.inc(LossLabels(what), count)
        if not self._losing:
            _log.error("request records are incomplete: more comes than is written", lost=what, fix="see records.*")
        self._losing = True

    def failed(self, why: str) -> None:
        """See RecordWatch."""
        self._failed.inc(NO_LABELS)
        if not self._failing:
            _log.error("request records are not written; they are kept and tried again", why=why)
        self._failing = True

    def purged(self, blobs: int) -> None:
        """See RecordWatch."""
        self._purged.inc(NO_LABELS, blobs)
