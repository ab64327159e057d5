"""How a call came about, as span attributes and a log line: workers, attempts, losses, never a word of the prompt."""

from __future__ import annotations

import logging
from typing import Any

from libs.telemetry import Span, get_logger, names
from libs.telemetry.tracing import NO_SPAN, Value
from services.gateway.domain.record import CallRecord


class Explain:
    """Writes down calls that have ended. Make it after logging was set up: its logger is bound once."""

    def __init__(self) -> None:
        self._log: Any = get_logger("gateway.chat").bind()

    def ended(self, record: CallRecord, span: Span) -> None:
        """Ends the call's span. A call that went as it should is a debug line; one that did not is an info line.

        So is a call that was refused before a worker was asked, a debug line: clients may be refused a thousand times a
        second, and metrics and request records have them.
        """
        if span is not NO_SPAN:
            _describe(span, record)
        if (record.error and record.attempts) or record.past or record.stale_deltas:
            self._log.info("chat ended", **line(record))
        elif self._log.is_enabled_for(logging.DEBUG):
            self._log.debug("chat ended", **line(record))


def _describe(span: Span, record: CallRecord) -> None:
    span.set(attributes(record))
    for past in record.past:
        span.event(
            "attempt ended", {names.WORKER: past.worker, "outcome": past.outcome.value, names.ERROR_TYPE: past.reason}
        )
    span.end()


def line(record: CallRecord) -> dict[str, object]:
    """The log line's fields: those of the span under their last names, and times."""
    fields: dict[str, object] = {name.removeprefix("headrace."): value for name, value in attributes(record).items()}
    if record.first_delta_at:
        fields["first_token_ms"] = round((record.first_delta_at - record.started_at) * 1000, 3)
    if record.queued_ms:
        fields["queued_ms"] = round(record.queued_ms, 3)
    fields["total_ms"] = round((record.ended_at - record.started_at) * 1000, 3)
    return fields


def attributes(record: CallRecord) -> dict[str, Value]:
    """The span's attributes."""
    found: dict[str, Value] = {
        names.OPERATION: "chat",
        names.REQUEST_ID: record.request_id,
        names.TENANT: record.tenant,
        names.REQUEST_MODEL: record.model,
        names.SESSION_SOURCE: record.session_source,
        names.WORKER: record.worker,
        names.PLACED_BY: record.placed_by,
        names.ATTEMPTS: record.attempts,
        "headrace.losses": [f"{past.worker}:{past.outcome}:{past.reason}" for past in record.past],
        names.RESUMES: record.resumes,
        names.REPRODUCIBLE: record.reproducible,
        names.REPREFILL_TOKENS: record.reprefill_tokens,
        names.STALE_DELTAS: record.stale_deltas,
        names.INPUT_TOKENS: record.prompt_tokens,
        names.OUTPUT_TOKENS: record.completion_tokens,
        names.CACHED_TOKENS: record.cached_tokens,
        names.COST: record.cost,
        names.TRUNCATED: record.truncated,
    }
    if record.route is not None and record.route.choices:
        choice = record.route.choice
        found |= {names.TIER: choice.tier, names.VARIANT: choice.variant, names.CHOSEN_BY: choice.reason}
        found[names.FALLBACKS] = record.route.fallbacks
        if record.route.predicted is not None:
            found[names.PREDICTED_CACHED_TOKENS] = record.route.predicted
    if record.stood_in and record.route is not None:
        found["headrace.cached_answer"] = record.route.replayed_from
    if record.session:
        found[names.CONVERSATION] = record.session
    if record.error:
        found[names.ERROR_TYPE] = record.error
    return found
