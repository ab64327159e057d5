"""Usage and the `headrace` object: what an answer cost and how it came about."""

from __future__ import annotations

from typing import Any

from headrace.inference.v1.inference_pb2 import (
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_LENGTH,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
)

from libs.money import to_dollars
from services.gateway.events import Ended

FINISH = {
    FINISH_REASON_STOP: "stop",
    FINISH_REASON_LENGTH: "length",
    FINISH_REASON_TOOL_CALLS: "tool_calls",
    FINISH_REASON_CONTENT_FILTER: "content_filter",
}


def usage_of(ended: Ended) -> dict[str, Any]:
    """OpenAI's usage object."""
    return {
        "prompt_tokens": ended.prompt_tokens,
        "completion_tokens": ended.completion_tokens,
        "total_tokens": ended.prompt_tokens + ended.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": ended.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": ended.reasoning_tokens},
    }


def report_of(ended: Ended, ignored_fields: tuple[str, ...]) -> dict[str, Any]:
    """The `headrace` object. `session` is null without an explicit session; timings are milliseconds."""
    return {
        "worker": ended.worker,
        "session": ended.session_id or None,
        "session_source": ended.session_source,
        "cached_tokens": ended.cached_tokens,
        "attempts": ended.attempts,
        "resumed": ended.resumed,
        "estimated": ended.estimated,
        "cost_usd": to_dollars(ended.cost),
        "route": ended.route,
        "cached_answer": ended.cached_answer or None,
        "truncated": ended.truncated or None,
        "timings": {
            "queued_ms": round(ended.queued_ms, 3),
            "first_token_ms": round(ended.first_token_ms, 3),
            "total_ms": round(ended.total_ms, 3),
        },
        "ignored_fields": sorted({*ignored_fields, *ended.ignored_fields}),
    }
