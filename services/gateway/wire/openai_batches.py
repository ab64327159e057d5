"""OpenAI's batches: their bodies, and jobs in their form (https://platform.openai.com/docs/api-reference/batch)."""

from __future__ import annotations

from typing import Any

import msgspec
from headrace.jobs.v1 import jobs_pb2 as pb

from libs.errors import TABLE, PlatformError, Reason
from services.gateway.wire.job_documents import ENDED, Document
from services.gateway.wire.refusals import from_msgspec, invalid, unsupported

# The only window that OpenAI has; requests are done within it, or expire.
WINDOW = "24h"
WINDOW_SECONDS = 86_400
_Bad = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _BatchBody(msgspec.Struct, forbid_unknown_fields=True):
    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None
    output_expires_after: msgspec.Raw | None = None


_BODY = msgspec.json.Decoder(_BatchBody)


def batch_of(raw: bytes) -> pb.SubmitJobRequest:
    """The submission of a body. Raises PlatformError, always a 400."""
    try:
        body = _BODY.decode(raw)
    except _Bad as problem:
        raise from_msgspec(problem) from problem
    if body.completion_window != WINDOW:
        message = f"'completion_window' must be '{WINDOW}': what is not done by then expires."
        raise invalid("completion_window", message)
    if body.output_expires_after is not None and bytes(body.output_expires_after) != b"null":
        message = "Files of batches expire as all files do (files.expires_seconds_default). Leave the field out."
        raise unsupported("output_expires_after", message)
    if not body.input_file_id:
        raise invalid("input_file_id", "'input_file_id' is empty: give the id of a file that you uploaded.")
    return pb.SubmitJobRequest(
        input_file_id=body.input_file_id,
        endpoint=body.endpoint,
        expires_in_seconds=WINDOW_SECONDS,
        metadata=body.metadata or {},
        batch=True,
    )


def status_of(job: pb.Job) -> str:
    """OpenAI's status. Requests that failed do not fail a batch; it ends once its files are there."""
    if job.state not in ENDED:
        return "validating" if job.state == pb.JOB_STATE_ACCEPTING else "in_progress"
    if job.state == pb.JOB_STATE_FAILED and job.HasField("error"):
        return "failed"
    finalized = bool(job.batch.finalized_unix_ms)
    if job.state == pb.JOB_STATE_CANCELLED:
        return "cancelled" if finalized else "cancelling"
    if not finalized:
        return "finalizing"
    return "expired" if job.state == pb.JOB_STATE_EXPIRED else "completed"


def batch_document(job: pb.Job) -> Document:
    """A job in the form of a batch."""
    status, batch = status_of(job), job.batch
    ended = {
        "completed": ("completed_at", batch.finalized_unix_ms),
        "failed": ("failed_at", job.ended_unix_ms),
        "expired": ("expired_at", job.ended_unix_ms),
        "cancelled": ("cancelled_at", batch.finalized_unix_ms),
    }.get(status)
    times: Document = dict.fromkeys(("completed_at", "failed_at", "expired_at", "cancelled_at"))
    if ended is not None:
        times[ended[0]] = _seconds(ended[1])
    finalizing = job.state != pb.JOB_STATE_CANCELLED and status != "failed"
    return {
        "id": job.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": _errors(job) if status == "failed" else None,
        "input_file_id": batch.input_file_id,
        "completion_window": WINDOW,
        "status": status,
        "output_file_id": batch.output_file_id or None,
        "error_file_id": batch.error_file_id or None,
        "created_at": _seconds(job.created_unix_ms),
        "in_progress_at": _seconds(job.started_unix_ms),
        "expires_at": _seconds(job.expires_unix_ms),
        "finalizing_at": _seconds(batch.finalizing_unix_ms) if finalizing else None,
        "cancelling_at": _seconds(job.cancelled_unix_ms),
        **times,
        "request_counts": {"total": job.total, "completed": job.succeeded, "failed": job.failed},
        "usage": _usage(job.usage),
        "metadata": dict(job.metadata) or None,
    }


def not_cancellable(job: pb.Job) -> PlatformError:
    """The 409 for a batch that has ended otherwise."""
    message = f"Batch {job.id} is {status_of(job)}, and cannot be cancelled any more."
    return PlatformError(Reason.CONFLICT, message, started=False)


def _errors(job: pb.Job) -> Document:
    lines = job.error.lines or [
        pb.LineError(code=_code(job.error.reason), message=job.error.message, line=job.error.line)
    ]
    data = [
        {"code": each.code, "message": each.message, "param": each.param or None, "line": each.line or None}
        for each in lines
    ]
    return {"object": "list", "data": data}


def _code(reason: str) -> str:
    row = TABLE[Reason(reason)] if reason in Reason.__members__ else TABLE[Reason.INTERNAL]
    return row.openai_code or row.openai_type


def _usage(usage: pb.Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _seconds(unix_ms: int) -> int | None:
    return unix_ms // 1000 or None
