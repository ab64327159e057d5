"""Metrics of calls that have ended, by the model that answered."""

from __future__ import annotations

from typing import NamedTuple

from libs.telemetry import names
from libs.telemetry.metrics import NO_LABELS, NoLabels, Registry
from services.gateway.domain.record import CallRecord


class ModelLabels(NamedTuple):
    """`model` is a name from the router's catalog, never what a client made up."""

    model: str


class TokenLabels(NamedTuple):
    """`kind` is "prompt", "cached" (a part of prompt), "completion", or "reprefill" (lost work, not the client's)."""

    model: str
    kind: str


class LossLabels(NamedTuple):
    """`outcome` and `reason` of an attempt that was not the last; see domain/attempts.py."""

    outcome: str
    reason: str


class CallMetrics:
    """See ports.Observer."""

    def __init__(self, registry: Registry) -> None:
        self._ttft = registry.histogram(names.METRIC_TTFT, "From the request to its first delta.", ModelLabels)
        self._tokens = registry.counter(names.METRIC_TOKENS, "Tokens of calls that ended.", TokenLabels)
        self._attempts = registry.counter(
            "headrace_gateway_attempts_ended_total", "Attempts that ended badly, by their end.", LossLabels
        )
        self._resumes = registry.counter(
            "headrace_gateway_resumes_total", "Streams continued on another worker.", NoLabels
        )
        # Each one is a defect of a worker or a delta that came after its attempt was given up.
        self._stale = registry.counter(
            "headrace_gateway_stale_deltas_total", "Deltas of earlier attempts, dropped.", NoLabels
        )

    def ended(self, record: CallRecord) -> None:
        """See ports.Observer."""
        if record.first_delta_at and not record.stood_in:
            self._answered(record)
        for past in record.past:
            self._attempts.inc(LossLabels(past.outcome.value, past.reason))
        if record.resumes:
            self._resumes.inc(NO_LABELS, record.resumes)
        if record.stale_deltas:
            self._stale.inc(NO_LABELS, record.stale_deltas)

    def _answered(self, record: CallRecord) -> None:
        model = record.model
        self._ttft.observe(ModelLabels(model), record.first_delta_at - record.started_at)
        self._tokens.inc(TokenLabels(model, "prompt"), record.prompt_tokens)
        self._tokens.inc(TokenLabels(model, "cached"), record.cached_tokens)
        self._tokens.inc(TokenLabels(model, "completion"), record.completion_tokens)
        if record.reprefill_tokens:
            self._tokens.inc(TokenLabels(model, "reprefill"), record.reprefill_tokens)
