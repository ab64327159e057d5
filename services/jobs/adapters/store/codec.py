"""Domain types as the store keeps them. What Lua reads is numbers and text; the rest is packed and opaque to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from services.jobs.domain.job import (
    Batch,
    Caller,
    FileSlice,
    Job,
    JobError,
    JobState,
    LineError,
    NewJob,
    PartSpec,
    Request,
    StepResult,
    Usage,
    Webhook,
)

pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder().decode
# In the order of their numbers in the store, from 1.
STATES = tuple(JobState)

# `s`, `i`, `c`, `h`, `b`, `e` of a job, see functions/1_records.lua; None = it has none.
Fields = Sequence[Any]


def _opaque(data: bytes) -> msgspec.Raw:
    """Bytes as MessagePack's text, which Lua takes as it is: the store's decoder knows no binary type."""
    size = len(data)
    if size < 1 << 8:
        return msgspec.Raw(b"\xd9%c%b" % (size, data))
    if size < 1 << 16:
        return msgspec.Raw(b"\xda" + size.to_bytes(2, "big") + data)
    return msgspec.Raw(b"\xdb" + size.to_bytes(4, "big") + data)


def packed_new(job: NewJob) -> bytes:
    """What `create` takes."""
    caller, hook = job.caller, job.webhook
    parts = [_packed_part(part) for part in job.parts]
    requests = [[request.step, _opaque(_packed_request(request))] for request in job.requests]
    flags = int(job.batch is not None), int(not job.parts)
    names = caller.key_id, caller.user
    return pack(
        [job.id, job.expires_seconds, *flags, *names, _opaque(_constants(job)), int(hook is not None), parts, requests]
    )


def packed_parts(job: str, reserved: int, parts: Sequence[PartSpec]) -> bytes:
    """What `add_parts` takes."""
    return pack([job, reserved, [_packed_part(part) for part in parts]])


def _constants(job: NewJob) -> bytes:
    hook = (job.webhook.url, job.webhook.secret) if job.webhook else None
    files = (job.batch.input_file_id, job.batch.endpoint) if job.batch else None
    caller = job.caller
    who = caller.key_id, caller.user, caller.manages_tenant
    return pack([job.id, who, job.fingerprint, job.priority, job.metadata, hook, files])


def job_of(tenant: str, fields: Fields) -> Job:
    """A job out of its fields."""
    state, info, constants, hook, files, error = fields
    s, i = unpack(state), unpack(info)
    name, (key_id, user, manages), fingerprint, priority, metadata, to, of = unpack(constants)
    return Job(
        id=name,
        caller=Caller(tenant, key_id, user, manages),
        state=STATES[s[0] - 1],
        created_ms=i[0],
        expires_ms=i[1],
        fingerprint=fingerprint,
        total=s[7],
        parts=s[8],
        started_ms=s[9],
        ended_ms=s[10],
        succeeded=s[12],
        failed=s[13],
        attempts=s[14],
        running_tokens=s[15],
        usage=Usage(s[16], s[17], s[18], s[19]),
        reserved=s[20],
        priority=priority,
        metadata=metadata,
        error=_error(error) if error else None,
        webhook=Webhook(*to, *(unpack(hook) if hook else ())) if to else None,
        batch=Batch(*of, *(unpack(files) if files else ())) if of else None,
        cancelled_ms=s[11],
        told=s[4] == 1,
        reopened=s[21] == 1,
        version=s[1],
    )


def packed_error(error: JobError) -> bytes:
    """`e` of a job."""
    lines = [(line.code, line.message, line.line, line.param) for line in error.lines]
    return pack([error.reason, error.message, error.line, lines])


def _error(packed: bytes) -> JobError:
    reason, message, line, lines = unpack(packed)
    return JobError(reason, message, line, tuple(LineError(*each) for each in lines))


def _packed_part(part: PartSpec) -> list[Any]:
    cut = part.slice
    where = (cut.file_id, cut.start, cut.length, cut.line) if cut else None
    packed = pack([part.number, part.first, part.count, part.reservation, part.models, where])
    return [part.number, part.first, part.count, _opaque(packed)]


def part_of(packed: bytes) -> PartSpec:
    """A part out of `p<number>`."""
    number, first, count, reservation, models, where = unpack(packed)
    return PartSpec(number, first, count, reservation, tuple(models), FileSlice(*where) if where else None)


def _packed_request(request: Request) -> bytes:
    return pack([request.custom_id, request.work, request.model, request.blob])


def request_of(step: int, packed: bytes) -> Request:
    """A request out of `q<step>`."""
    return Request(step, *unpack(packed))


def packed_result(result: StepResult) -> list[Any]:
    """What Lua counts of a result, and the result."""
    used = result.usage
    counted = used.prompt_tokens, used.cached_tokens, used.completion_tokens, used.cost
    kept = result.custom_id, result.status_code, result.request_id, result.body, result.blob, counted
    return [result.step, int(result.succeeded), *counted, _opaque(pack(kept))]


def result_of(step: int, packed: bytes) -> StepResult:
    """A result out of `r<step>`."""
    custom_id, status_code, request_id, body, blob, counted = unpack(packed)
    return StepResult(step, custom_id, status_code, request_id, body, blob, Usage(*counted))
