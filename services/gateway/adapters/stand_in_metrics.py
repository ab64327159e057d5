"""Metrics of stored answers that stand in where no worker can answer."""

from __future__ import annotations

from typing import NamedTuple

from libs.telemetry.metrics import Registry


class StandInLabels(NamedTuple):
    """`event` is "kept", "given", "missed" (nothing stored for the request), or "dropped" (not kept: store slow)."""

    event: str


class StandInMetrics:
    """Counts what became of them."""

    def __init__(self, registry: Registry) -> None:
        # Every "given" and "missed" is a call that no worker could answer.
        self._answers = registry.counter(
            "headrace_gateway_cached_answers_total", "Stored answers of keys that take them, by event.", StandInLabels
        )

    def counted(self, event: str) -> None:
        """Counts one."""
        self._answers.inc(StandInLabels(event))
