"""Jobs and their results as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from headrace.jobs.v1 import jobs_pb2 as pb

from libs.errors import TABLE, Reason
from libs.money import to_dollars
from services.gateway.wire.json_text import encode

STATUSES = {
    pb.JOB_STATE_ACCEPTING: "accepting",
    pb.JOB_STATE_REQUESTED: "requested",
    pb.JOB_STATE_RUNNING: "running",
    pb.JOB_STATE_SUCCEEDED: "succeeded",
    pb.JOB_STATE_FAILED: "failed",
    pb.JOB_STATE_CANCELLED: "cancelled",
    pb.JOB_STATE_EXPIRED: "expired",
}
ENDED = frozenset({pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_FAILED, pb.JOB_STATE_CANCELLED, pb.JOB_STATE_EXPIRED})
# A sum of money is exact as text, and a double otherwise.
Document = dict[str, Any]


def over(job: pb.Job) -> bool:
    """Whether nothing more happens to it: the files of a batch are part of its end."""
    return job.state in ENDED and (not job.HasField("batch") or bool(job.batch.finalized_unix_ms))


def job_document(job: pb.Job) -> Document:
    """A job without its results. Times are Unix seconds, null = not yet; sums are dollars, as text."""
    return {
        "id": job.id,
        "object": "job",
        "status": STATUSES[job.state],
        "cancelling": job.cancelling,
        "created_at": _seconds(job.created_unix_ms),
        "started_at": _seconds(job.started_unix_ms),
        "ended_at": _seconds(job.ended_unix_ms),
        "expires_at": _seconds(job.expires_unix_ms),
        "cancelled_at": _seconds(job.cancelled_unix_ms),
        "requests": {"total": job.total, "succeeded": job.succeeded, "failed": job.failed},
        "attempts": job.attempts,
        "running_tokens": job.running_tokens,
        "usage": {
            "prompt_tokens": job.usage.prompt_tokens,
            "cached_tokens": job.usage.cached_tokens,
            "completion_tokens": job.usage.completion_tokens,
            "total_tokens": job.usage.prompt_tokens + job.usage.completion_tokens,
        },
        "cost_usd": to_dollars(job.usage.cost_nanodollars),
        "reserved_usd": to_dollars(job.reserved_nanodollars),
        "priority": job.priority,
        "metadata": dict(job.metadata),
        "error": error_document(job.error) if job.HasField("error") else None,
        "webhook": _webhook(job.webhook) if job.HasField("webhook") else None,
        "batch": _batch(job.batch) if job.HasField("batch") else None,
        "version": job.version,
    }


def whole_document(job: pb.Job, results: Sequence[pb.Result]) -> Document:
    """A job with results: that of a single request is `result` or `error`, those of several are `results`."""
    document = job_document(job)
    if job.total != 1:
        return document | {"results": [result_document(each) for each in results]}
    return document | (_single(results[0]) if results else {"result": None})


def _single(result: pb.Result) -> Document:
    if 200 <= result.status_code < 300:
        return {"result": _json(result.body)}
    return {"result": None, "error": _error_of(result)}


def result_document(result: pb.Result) -> Document:
    """One result, as a line of OpenAI's output files with the place of its request in the job."""
    return {
        "step": result.step,
        "custom_id": result.custom_id or None,
        "response": {
            "status_code": result.status_code,
            "request_id": result.request_id,
            "body": _json(result.body),
        },
        "error": None,
    }


def result_lines(results: Iterable[pb.Result]) -> bytes:
    """A line of JSON per result."""
    return b"".join([encode(result_document(each)) + b"\n" for each in results])


def error_document(error: pb.JobError) -> Document:
    """Why a job as a whole failed, in the form of every other error."""
    row = TABLE[Reason(error.reason)] if error.reason in Reason.__members__ else TABLE[Reason.INTERNAL]
    return {
        "message": error.message,
        "type": row.openai_type,
        "param": None,
        "code": row.openai_code,
        "line": error.line or None,
    }


def job_event(job: pb.Job) -> bytes:
    """A server-sent event; its id is the job's version, to go on from."""
    return b"id: %d\nevent: job\ndata: %b\n\n" % (job.version, encode(job_document(job)))


def list_document(data: Sequence[Document], *, has_more: bool, after: str = "") -> Document:
    """A page in OpenAI's form; `after` is where the next one begins, where that is not behind the last entry."""
    last = data[-1]["id"] if data else None
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": after or last,
        "has_more": has_more,
    }


def _error_of(result: pb.Result) -> Any:
    """The error within an error body."""
    try:
        found: Any = msgspec.json.decode(result.body)["error"]
    except (msgspec.DecodeError, KeyError, TypeError):
        row = TABLE[Reason.INTERNAL]
        message = f"The request ended with status {result.status_code} and no word of why."
        return {"message": message, "type": row.openai_type, "param": None, "code": row.openai_code}
    return found


def _json(body: bytes) -> msgspec.Raw:
    """Passed on as it is: bodies come from a gateway, which wrote them as JSON."""
    return msgspec.Raw(body or b"null")


def _webhook(webhook: pb.WebhookState) -> Document:
    return {
        "url": webhook.url,
        "state": webhook.state,
        "attempts": webhook.attempts,
        "status": webhook.status or None,
    }


def _batch(batch: pb.BatchFiles) -> Document:
    return {
        "input_file_id": batch.input_file_id or None,
        "output_file_id": batch.output_file_id or None,
        "error_file_id": batch.error_file_id or None,
    }


def _seconds(unix_ms: int) -> int | None:
    return unix_ms // 1000 or None
