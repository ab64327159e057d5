"""Between `headrace.jobs.v1` and domain types."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

import msgspec
from google.protobuf.message import DecodeError
from headrace.gateway.v1 import work_pb2
from headrace.jobs.v1 import jobs_pb2 as pb

from libs.errors import PlatformError, Reason
from services.jobs.domain.job import Batch, Caller, Job, JobError, JobState, StepResult, Usage, Webhook
from services.jobs.domain.submission import Asked, Submission, digest

# Who calls, in metadata that only services inside may send: a Caller, encoded, in base64.
CALLER_KEY = "x-headrace-caller"
_STATES = {
    JobState.ACCEPTING: pb.JOB_STATE_ACCEPTING,
    JobState.REQUESTED: pb.JOB_STATE_REQUESTED,
    JobState.RUNNING: pb.JOB_STATE_RUNNING,
    JobState.SUCCEEDED: pb.JOB_STATE_SUCCEEDED,
    JobState.FAILED: pb.JOB_STATE_FAILED,
    JobState.CANCELLED: pb.JOB_STATE_CANCELLED,
    JobState.EXPIRED: pb.JOB_STATE_EXPIRED,
}
_BY_NUMBER = {number: state for state, number in _STATES.items()}


class _Named(msgspec.Struct):
    """What the gate wants to know of a body; whether it is right is for the gateway to say."""

    model: str = ""


def caller_of(metadata: str) -> Caller:
    """The caller that a gateway names; raises INVALID_API_KEY for none."""
    try:
        found = work_pb2.Caller.FromString(base64.b64decode(metadata, validate=True))
    except (binascii.Error, ValueError, DecodeError):
        found = work_pb2.Caller()
    if not found.tenant or not found.key_id:
        message = f"The call names no caller in '{CALLER_KEY}': jobs are submitted through a gateway."
        raise PlatformError(Reason.INVALID_API_KEY, message, started=False)
    return Caller(found.tenant, found.key_id, found.user, found.manages_tenant)


def caller_message(caller: Caller) -> work_pb2.Caller:
    """The caller as gateways take it."""
    return work_pb2.Caller(
        tenant=caller.tenant, key_id=caller.key_id, user=caller.user, manages_tenant=caller.manages_tenant
    )


def submission_of(request: pb.SubmitJobRequest, caller: Caller, key: str) -> Submission:
    """The submission; `key` is the caller's idempotency key, "" = none."""
    return Submission(
        caller=caller,
        digest=digest(request.SerializeToString(deterministic=True)),
        key=key,
        requests=tuple(_asked(each) for each in request.requests),
        input_file_id=request.input_file_id,
        endpoint=request.endpoint,
        expires_seconds=request.expires_in_seconds,
        priority=request.priority,
        metadata=dict(request.metadata),
        webhook=Webhook(request.webhook.url, request.webhook.secret) if request.HasField("webhook") else None,
        batch=request.batch,
    )


def _asked(request: pb.JobRequest) -> Asked:
    work = request.work
    return Asked(request.custom_id, work.SerializeToString(deterministic=True), work.path, _model(work))


def _model(work: work_pb2.Work) -> str:
    if work.WhichOneof("form") == "chat":
        return work.chat.model
    try:
        return msgspec.json.decode(work.body, type=_Named).model
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def state_of(number: pb.JobState) -> JobState | None:
    """The state of a number, None = unspecified. Raises INVALID_REQUEST for one that is none."""
    if number == pb.JOB_STATE_UNSPECIFIED:
        return None
    if number not in _BY_NUMBER:
        raise PlatformError(Reason.INVALID_REQUEST, f"There is no job state {number}.", started=False, param="state")
    return _BY_NUMBER[number]


def job_message(job: Job) -> pb.Job:
    """A job as it is told of: all but results, and nothing that is secret."""
    found = pb.Job(
        id=job.id,
        state=_STATES[job.state],
        created_unix_ms=job.created_ms,
        started_unix_ms=job.started_ms,
        ended_unix_ms=job.ended_ms,
        expires_unix_ms=job.expires_ms,
        total=job.total,
        succeeded=job.succeeded,
        failed=job.failed,
        attempts=job.attempts,
        running_tokens=job.running_tokens,
        usage=_usage(job.usage),
        reserved_nanodollars=job.reserved,
        metadata=job.metadata,
        priority=job.priority,
        cancelling=job.state is JobState.CANCELLED and job.batch is not None and not job.told,
        cancelled_unix_ms=job.cancelled_ms,
        version=job.version,
    )
    if job.error is not None:
        found.error.CopyFrom(_error(job.error))
    if job.webhook is not None:
        found.webhook.CopyFrom(_webhook(job.webhook))
    if job.batch is not None:
        found.batch.CopyFrom(_batch(job, job.batch))
    return found


def _usage(usage: Usage) -> pb.Usage:
    return pb.Usage(
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        cost_nanodollars=usage.cost,
    )


def _error(error: JobError) -> pb.JobError:
    lines = [
        pb.LineError(code=each.code, message=each.message, line=each.line, param=each.param) for each in error.lines
    ]
    return pb.JobError(reason=error.reason, message=error.message, line=error.line, lines=lines)


def _webhook(webhook: Webhook) -> pb.WebhookState:
    return pb.WebhookState(url=webhook.url, state=webhook.state, attempts=webhook.attempts, status=webhook.status)


def _batch(job: Job, batch: Batch) -> pb.BatchFiles:
    return pb.BatchFiles(
        input_file_id=batch.input_file_id,
        endpoint=batch.endpoint,
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        finalizing_unix_ms=job.ended_ms,
        finalized_unix_ms=batch.told_ms if job.told else 0,
    )


def result_message(result: StepResult, body: bytes) -> pb.Result:
    """A result with its body, which may have been in a blob."""
    return pb.Result(
        step=result.step,
        custom_id=result.custom_id,
        status_code=result.status_code,
        body=body,
        request_id=result.request_id,
    )


def jobs_response(jobs: Iterable[Job], *, has_more: bool, after: str) -> pb.ListJobsResponse:
    """A page of jobs; `after` is where the next one begins."""
    listed = [job_message(job) for job in jobs]
    return pb.ListJobsResponse(jobs=listed, has_more=has_more, next=after if has_more else "")
