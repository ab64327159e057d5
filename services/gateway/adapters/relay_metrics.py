"""How publishing goes: metrics, and one log line when it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from libs.telemetry import get_logger
from libs.telemetry.metrics import NO_LABELS, NoLabels, Registry

_log = get_logger("gateway.outbox")


class FailureLabels(NamedTuple):
    """`cause`: see ports.RelayWatch."""

    cause: str


class RelayMetrics:
    """Implements ports.RelayWatch. Troubles of the store and of the broker begin and end each by itself."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._published = registry.counter(
            "headrace_gateway_outbox_published_total", "Entries that the usage topic acknowledged.", NoLabels
        )
        # Each is a batch that is tried again; "record" means that it will fail again until somebody looks.
        self._failed = registry.counter(
            "headrace_gateway_outbox_failures_total", "Batches that were not published.", FailureLabels
        )
        self._troubles: dict[str, str] = {}

    def follow(self, waiting: Callable[[], float], lag_seconds: Callable[[], float]) -> None:
        """Shows how much waits and for how long; both are asked when metrics are read."""
        waits = self._registry.gauge(
            "headrace_gateway_outbox_waiting_tenants", "Tenants with entries that are not published.", NoLabels
        )
        waits.read_from(NO_LABELS, waiting)
        # Growing: no broker, or more is settled than one relay publishes. A durable broker's outbox grows with it.
        lag = self._registry.gauge(
            "headrace_gateway_outbox_lag_seconds", "Age of the oldest entry that is not published.", NoLabels
        )
        lag.read_from(NO_LABELS, lag_seconds)

    def looked(self) -> None:
        """See ports.RelayWatch."""
        self._over("store")

    def published(self, entries: int) -> None:
        """See ports.RelayWatch."""
        self._published.inc(NO_LABELS, entries)
        for cause in ("broker", "access"):
            self._over(cause)

    def failed(self, cause: str, why: str) -> None:
        """See ports.RelayWatch."""
        self._failed.inc(FailureLabels(cause))
        if cause not in self._troubles:
            self._troubles[cause] = why
            _log.error("usage is not published; it waits in the outbox", cause=cause, why=why)

    def _over(self, cause: str) -> None:
        if self._troubles.pop(cause, None) is not None:
            _log.info("usage is published again", cause=cause)
