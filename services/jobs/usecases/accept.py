"""From a submission to a job: stored, its cost set aside, confirmed, sent. Whatever dies on the way, a repeat with the
same key goes on with the same job, and without one the agenda (REFUSE) undoes what was begun.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from libs.blobs import Blobs
from libs.errors import PlatformError, Reason
from libs.files import FileStore, FileViewer
from libs.ids import RandomBytes
from libs.kafka import KafkaError
from libs.telemetry import get_logger
from services.jobs.domain.agenda import Due, Task
from services.jobs.domain.attempt import PartKey
from services.jobs.domain.blob_names import INLINE_BYTES_MAX, work_folder
from services.jobs.domain.job import ENDED, Batch, Caller, Job, JobError, JobState, NewJob, Request
from services.jobs.domain.submission import (
    CHAT_PATH,
    LIVES,
    Asked,
    Submission,
    SubmissionLimits,
    check,
    job_ids,
    mismatch,
    parts_of,
    refused,
)
from services.jobs.ports.neighbours import Gateways
from services.jobs.ports.running import Outgoing
from services.jobs.ports.store import Acceptance, Jobs

INPUT_PURPOSE = "batch"
_PASSING = frozenset({Reason.OVERLOADED, Reason.RATE_LIMITED, Reason.CONFLICT, Reason.CANCELLED})
_EDGE = frozenset({Reason.WORKER_LOST, Reason.DRAINING, Reason.CANCELLED, Reason.DEADLINE_EXCEEDED})
_log = get_logger("jobs.accept")


@dataclass(frozen=True, slots=True)
class Accepted:
    """`replayed`: the job was there already, under the same key."""

    job: Job
    replayed: bool


@dataclass(frozen=True, slots=True)
class AcceptMeans:
    """What accepting takes. `send_seconds`: for Kafka to take the job's messages; after that the agenda sends them."""

    acceptance: Acceptance
    jobs: Jobs
    gateways: Gateways
    outgoing: Outgoing
    blobs: Blobs
    files: FileStore
    send_seconds: float = 1.0


class _SpentError(Exception):
    """What was set aside under this id has been released: nothing can be set aside under it again."""


class Acceptor:
    """Accepts jobs; one object for all calls of the process."""

    def __init__(
        self,
        means: AcceptMeans,
        limits: SubmissionLimits | None = None,
        random_bytes: RandomBytes = secrets.token_bytes,
    ) -> None:
        self._means, self._random_bytes = means, random_bytes
        self.limits = limits or SubmissionLimits()

    async def submit(self, submission: Submission, *, keep_refusal: bool = False) -> Accepted:
        """The accepted job. Raises PlatformError: what is wrong with the submission, IDEMPOTENCY_MISMATCH, what the
        gateway refuses, STORE_UNAVAILABLE.

        A refused submission leaves nothing behind, and its key is free again; with `keep_refusal` it leaves a FAILED
        job that says why, for callers who do not wait for an answer, and nothing is raised.
        """
        check(submission, self.limits)
        ids = job_ids(submission, self._random_bytes)
        found = await self._found(submission, ids)
        if found is None and submission.input_file_id:
            await self._check_file(submission.caller, submission.input_file_id)
        for job in ids if found is None else ids[ids.index(found.id) :]:
            try:
                return await self._accept(job, submission, found, keep_refusal=keep_refusal)
            except _SpentError:
                found = None
        raise _spent() if submission.key else _undone()

    async def _found(self, submission: Submission, ids: Sequence[str]) -> Job | None:
        """The job of an earlier submission with the same key."""
        if not submission.key:
            return None
        tenant = submission.caller.tenant
        jobs = await asyncio.gather(*(self._means.jobs.get(tenant, job) for job in ids))
        return next((job for job in jobs if job is not None), None)

    async def _accept(self, job: str, submission: Submission, found: Job | None, *, keep_refusal: bool) -> Accepted:
        """Under one id. Raises _SpentError when it was given up before."""
        begun = found or await self._means.acceptance.create(self._new_job(job, submission))
        if begun.fingerprint != submission.digest:
            raise mismatch()
        if begun.state is not JobState.ACCEPTING:
            return Accepted(begun, replayed=True)
        if submission.input_file_id:
            await self._send([Due(submission.caller.tenant, Task.EXPAND, job)])
            return Accepted(begun, replayed=found is not None)
        accepted = await self._pay(begun, submission, keep_refusal=keep_refusal)
        return Accepted(accepted, replayed=found is not None)

    async def _pay(self, begun: Job, submission: Submission, *, keep_refusal: bool) -> Job:
        """From ACCEPTING to REQUESTED; a repeat does what is left of it."""
        tenant, job = submission.caller.tenant, begun.id
        kept = await self._keep_large(tenant, begun, submission.requests)
        works = [asked.work for asked in submission.requests]
        try:
            reserved = await self._means.gateways.reserve(job, submission.caller, works, batch=submission.batch)
        except PlatformError as problem:
            return await self._refused(begun, problem, kept, keep_refusal=keep_refusal)
        confirmed = await self._means.acceptance.confirm(tenant, job, reserved.amount)
        if confirmed is None or confirmed.state in ENDED or confirmed.state is JobState.ACCEPTING:
            # Undone meanwhile, because it took so long, or cancelled: the money was set aside for nothing.
            await self._means.gateways.release(tenant, [job])
        if confirmed is not None and confirmed.state is JobState.ACCEPTING:
            await self._give_up(begun, kept)
        if confirmed is None:
            await self._drop(kept)
            raise _undone()
        if confirmed.state is JobState.REQUESTED:
            await self._send([Due(tenant, Task.SEND, job, part) for part in range(confirmed.parts)])
        return confirmed

    async def _refused(self, begun: Job, problem: PlatformError, kept: str, *, keep_refusal: bool) -> Job:
        """What stands under the id after a gateway's no: nothing, and `problem` is raised, or a job."""
        spent = problem.reason is Reason.CONFLICT
        if not spent and not is_refusal(problem):
            raise _unasked(problem) from problem
        error = JobError(problem.reason.value, problem.message) if keep_refusal and not spent else None
        left = await self._means.acceptance.refuse(begun.caller.tenant, begun.id, error)
        # Else the same submission, sent twice at once, was accepted or has even ended: that job stands, with its blobs.
        if left is None or left.error is not None:
            await self._drop(kept)
        if left is not None:
            return left
        if spent:
            raise _SpentError from problem
        raise problem

    async def _give_up(self, begun: Job, kept: str) -> NoReturn:
        """What the agenda is about to do: it is too late to go on with this job, whoever began with it."""
        if await self._means.acceptance.refuse(begun.caller.tenant, begun.id, None) is None:
            await self._drop(kept)
        raise _SpentError

    async def _drop(self, kept: str) -> None:
        """Deletes large requests that no job looks for; "" = there are none."""
        if kept:
            await self._means.blobs.delete_prefix(kept)

    async def _keep_large(self, tenant: str, begun: Job, requests: Sequence[Asked]) -> str:
        """Puts what the store has not, under the names that it has; returns their folder, "" = there are none."""
        if not any(_is_large(asked) for asked in requests):
            return ""
        kept = ""
        for part in range(begun.parts):
            for request in await self._means.jobs.requests(tenant, PartKey(begun.id, part)):
                if request.blob:
                    kept = request.blob[: request.blob.rindex("/") + 1]
                    await self._means.blobs.put(request.blob, requests[request.step].work)
        return kept

    async def _check_file(self, caller: Caller, file_id: str) -> None:
        viewer = FileViewer(
            tenant=caller.tenant, key_id=caller.key_id, user=caller.user, manages_tenant=caller.manages_tenant
        )
        try:
            file = await self._means.files.get(viewer, file_id)
        except PlatformError as problem:
            if problem.reason is not Reason.NOT_FOUND:
                raise
            raise refused("input_file_id", problem.message) from problem
        if file.purpose != INPUT_PURPOSE:
            message = f"File {file.id} was uploaded for '{file.purpose}'. Upload it with the purpose '{INPUT_PURPOSE}'."
            raise refused("input_file_id", message)

    def _new_job(self, job: str, submission: Submission) -> NewJob:
        limits, requests = self.limits, submission.requests
        blobs = work_folder(submission.caller.tenant, job, self._random_bytes(6).hex())
        return NewJob(
            id=job,
            caller=submission.caller,
            fingerprint=submission.digest,
            expires_seconds=submission.expires_seconds or limits.expires_seconds_default,
            priority=submission.priority,
            metadata=submission.metadata,
            webhook=submission.webhook,
            batch=Batch(submission.input_file_id, submission.endpoint or CHAT_PATH) if submission.batch else None,
            parts=parts_of(job, [asked.model for asked in requests], limits.part_requests),
            requests=tuple(_request(step, asked, blobs) for step, asked in enumerate(requests)),
        )

    async def _send(self, dues: Sequence[Due]) -> None:
        """The job stands in the store by then: what Kafka does not take is on the agenda."""
        try:
            async with asyncio.timeout(self._means.send_seconds):
                await self._means.outgoing.request(dues)
        except (KafkaError, TimeoutError) as problem:
            _log.warning("a job's messages wait on the agenda", why=str(problem) or "Kafka takes too long")


def _request(step: int, asked: Asked, blobs: str) -> Request:
    if _is_large(asked):
        return Request(step, asked.custom_id, b"", asked.model, f"{blobs}{step}")
    return Request(step, asked.custom_id, asked.work, asked.model)


def _is_large(asked: Asked) -> bool:
    return len(asked.work) > INLINE_BYTES_MAX


def is_refusal(problem: PlatformError) -> bool:
    """Whether the gateway said no for good; of what passes, a repeat with the same key makes the best."""
    return problem.http_status < 500 and problem.reason not in _PASSING


def _unasked(problem: PlatformError) -> PlatformError:
    """What a failure on the way to a gateway means for who submits: it says nothing of this service's own process."""
    if problem.reason not in _EDGE:
        return problem
    message = f"No gateway could set aside what the job may cost ({problem.reason}). Send it again."
    return PlatformError(Reason.JOBS_UNAVAILABLE, message, retry_after_seconds=1.0, started=False)


def _undone() -> PlatformError:
    message = "Accepting the job took so long that it was given up. Nothing is charged. Send it again."
    return PlatformError(Reason.OVERLOADED, message, retry_after_seconds=1.0, started=False)


def _spent() -> PlatformError:
    """Every id of the key has been given up: sent again as it is, it would never be accepted."""
    message = (
        f"Accepting the job was given up {LIVES} times under this 'Idempotency-Key'. Nothing is charged. "
        "Send it with another key."
    )
    return PlatformError(Reason.CONFLICT, message, started=False, param="Idempotency-Key")
