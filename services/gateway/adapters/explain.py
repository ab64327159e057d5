"""How a call came about, as span attributes and a log line: workers, attempts, losses, never a word of the prompt."""

from __future__ import annotations

import structlog
from opentelemetry import trace
from opentelemetry.util.types import AttributeValue

from services.gateway.domain.record import CallRecord

_log = structlog.get_logger("gateway.call")


class Explain:
    """See ports.Observer. The span is the one that is current where the call ends: the wire's."""

    def ended(self, record: CallRecord) -> None:
        """See ports.Observer. A call that went as it should is a debug line; one that did not is worth an info line."""
        span = trace.get_current_span()
        if span.is_recording():
            span.set_attributes(attributes(record))
            for past in record.past:
                span.add_event("attempt_ended", {"worker": past.worker, "outcome": past.outcome, "reason": past.reason})
        if record.error or record.past or record.stale_deltas:
            _log.info("chat", **line(record))
        elif _log.is_enabled_for(10):
            _log.debug("chat", **line(record))


def line(record: CallRecord) -> dict[str, object]:
    """The log line's fields."""
    fields: dict[str, object] = dict(attributes(record))
    fields["past"] = [f"{past.worker}:{past.outcome}:{past.reason}" for past in record.past]
    return fields


def attributes(record: CallRecord) -> dict[str, AttributeValue]:
    """The span's attributes."""
    found: dict[str, AttributeValue] = {
        "headrace.request_id": record.request_id,
        "headrace.tenant": record.tenant,
        "gen_ai.request.model": record.model,
        "headrace.session": record.session,
        "headrace.session_source": record.session_source,
        "headrace.worker": record.worker,
        "headrace.placed_by": record.placed_by,
        "headrace.attempts": record.attempts,
        "headrace.losses": [f"{past.outcome}:{past.reason}" for past in record.past],
        "headrace.resumes": record.resumes,
        "headrace.reproducible": record.reproducible,
        "headrace.reprefill_tokens": record.reprefill_tokens,
        "headrace.stale_deltas": record.stale_deltas,
        "gen_ai.usage.input_tokens": record.prompt_tokens,
        "gen_ai.usage.output_tokens": record.completion_tokens,
        "headrace.cached_tokens": record.cached_tokens,
    }
    if record.first_delta_at:
        found["headrace.first_token_ms"] = (record.first_delta_at - record.started_at) * 1000
    if record.error:
        found["error.type"] = record.error
    return found
