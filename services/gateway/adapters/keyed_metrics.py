"""Metrics of calls with an idempotency key."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from libs.telemetry.metrics import NO_LABELS, NoLabels, Registry


class ClaimLabels(NamedTuple):
    """`verdict` is one of domain.idempotency.Verdict."""

    verdict: str


class KeyedMetrics:
    """What claims found, and how many answers are being made."""

    def __init__(self, registry: Registry) -> None:
        # "done" and "running" are repeats; "taken" is an answer whose gateway was lost.
        self._claims = registry.counter(
            "headrace_gateway_idempotent_claims_total", "Claims of idempotency keys, by what they found.", ClaimLabels
        )
        # They go on without their clients: beside headrace_gateway_streams it shows how many have gone.
        self._making = registry.gauge(
            "headrace_gateway_idempotent_answers", "Answers under an idempotency key being made.", NoLabels
        )

    def read_from(self, making: Callable[[], int]) -> None:
        """Where the number of answers is read at each scrape."""
        self._making.read_from(NO_LABELS, making)

    def claimed(self, verdict: str) -> None:
        """Counts one claim."""
        self._claims.inc(ClaimLabels(verdict))
