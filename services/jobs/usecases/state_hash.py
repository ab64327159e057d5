"""A digest of what has become of a tenant's jobs: the same before and after a replay, or something was done twice."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec

from services.jobs.domain.job import Job, StepResult
from services.jobs.ports.store import Jobs

PAGE = 100
_pack = msgspec.msgpack.Encoder(order="deterministic").encode


async def state_hash(jobs: Jobs, tenant: str) -> str:
    """SHA-256 over all jobs that are kept: states, results, counts and usage, whatever their order.

    Not in it: times, attempts, versions, webhooks, and what comes of telling an end, which differ from run to run.
    """
    digests = [digest for batches in (False, True) async for digest in _digests(jobs, tenant, batches=batches)]
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


async def _digests(jobs: Jobs, tenant: str, *, batches: bool) -> AsyncGenerator[bytes, None]:
    after = ""
    while page := await jobs.list(tenant, batches=batches, after=after, limit=PAGE):
        for digest in await asyncio.gather(*(_digest(jobs, tenant, job) for job in page)):
            yield digest
        after = page[-1].id


async def _digest(jobs: Jobs, tenant: str, job: Job) -> bytes:
    told = hashlib.sha256(_pack(_facts(job)))
    first = 0
    while page := await jobs.results(tenant, job.id, first, PAGE):
        for result in page:
            told.update(_pack(_result(result)))
        first = page[-1].step + 1
    return told.digest()


def _facts(job: Job) -> Sequence[Any]:
    who = job.caller.key_id, job.caller.user
    counts = job.total, job.parts, job.succeeded, job.failed, job.reserved
    file = job.batch and (job.batch.input_file_id, job.batch.endpoint)
    return job.id, who, job.fingerprint, job.state, job.error, counts, job.usage, file


def _result(result: StepResult) -> Sequence[Any]:
    body = hashlib.sha256(result.body).digest()
    return result.step, result.custom_id, result.status_code, result.request_id, body, result.blob, result.usage
