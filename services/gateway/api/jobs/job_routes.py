"""`/v1/jobs`: long work, handed over and asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from headrace.jobs.v1 import jobs_pb2 as pb

from libs.errors import PlatformError
from services.gateway.api.gone import UntilGone
from services.gateway.api.jobs.asked import Asked, choice, integer
from services.gateway.api.jobs.routes import Route
from services.gateway.domain.idempotency import HEADER, KEY_CHARS_MAX
from services.gateway.ports.jobs import JobService
from services.gateway.wire.job_bodies import JobBody, body_of
from services.gateway.wire.job_documents import (
    STATUSES,
    job_document,
    list_document,
    result_lines,
    whole_document,
)
from services.gateway.wire.refusals import invalid

RESULTS_MAX = 100
LIMITS = range(1, 101)
_STEPS = range(1_000_000_000)
_BY_STATUS = {status: number for number, status in STATUSES.items()}
_REPLAYED = (b"idempotent-replayed", b"true")
_LINES = (b"content-type", b"application/x-ndjson")
# What a single request's fields are called in errors of the jobs service.
_FIRST = "requests[0]"


@dataclass(frozen=True, slots=True)
class JobLimits:
    """`body_bytes_max`, `requests_max` of a submission; `submit_seconds` to accept one, `call_seconds` for the rest."""

    body_bytes_max: int = 7 * 2**20
    submit_seconds: float = 90.0
    call_seconds: float = 10.0
    results_seconds: float = 600.0
    requests_max: int = 1_000


class JobDesk:
    """What the routes do."""

    def __init__(self, jobs: JobService, limits: JobLimits) -> None:
        self._jobs, self._limits = jobs, limits

    def routes(self) -> Sequence[Route]:
        """All but the stream of news."""
        return (
            Route("POST", "/v1/jobs", self.submit),
            Route("GET", "/v1/jobs", self.list),
            Route("GET", "/v1/jobs/{id}", self.get),
            Route("POST", "/v1/jobs/{id}/cancel", self.cancel),
            Route("GET", "/v1/jobs/{id}/results", self.results),
        )

    async def submit(self, asked: Asked) -> None:
        """202 with the job, which is stored and paid for."""
        key = idempotency_key(asked)
        body = await _read(await asked.body(self._limits.body_bytes_max), self._limits.requests_max)
        try:
            accepted = await submitted(self._jobs, asked, body.submission, key, self._limits.submit_seconds)
        except PlatformError as problem:
            if problem.param and body.single:
                problem.param = problem.param.removeprefix(_FIRST).removeprefix(".") or None
            raise
        headers = [(b"location", f"/v1/jobs/{accepted.job.id}".encode())]
        if accepted.replayed and key:
            headers.append(_REPLAYED)
        await asked.reply(job_document(accepted.job), 202, headers)

    async def list(self, asked: Asked) -> None:
        """The caller's jobs, newest first."""
        given = asked.query("after", "limit", "status")
        request = pb.ListJobsRequest(
            after=given.get("after", ""),
            limit=integer(given, "limit", 20, LIMITS),
            state=choice(given, "status", _BY_STATUS),
        )
        page = await self._jobs.call("ListJobs", request, asked.principal, timeout=self._limits.call_seconds)
        document = list_document([job_document(job) for job in page.jobs], has_more=page.has_more, after=page.next)
        await asked.reply(document)

    async def get(self, asked: Asked) -> None:
        """One job, with its first results."""
        request = pb.GetJobRequest(id=asked.args["id"], results_max=RESULTS_MAX)
        found = await self._jobs.call("GetJob", request, asked.principal, timeout=self._limits.call_seconds)
        await asked.reply(whole_document(found.job, found.results))

    async def cancel(self, asked: Asked) -> None:
        """The job as it stands after that; one that has ended stays as it is."""
        request = pb.CancelJobRequest(id=asked.args["id"])
        ended = await self._jobs.call("CancelJob", request, asked.principal, timeout=self._limits.call_seconds)
        await asked.reply(job_document(ended.job))

    async def results(self, asked: Asked) -> None:
        """Lines of JSON, in the order of the requests, those that are there."""
        first = integer(asked.query("first"), "first", 0, _STEPS)
        request = pb.ReadResultsRequest(id=asked.args["id"], first=first)
        with UntilGone(asked.connection):
            stream = self._jobs.stream("ReadResults", request, asked.principal, timeout=self._limits.results_seconds)
            async with aclosing(stream) as pages:
                # Its first page comes before the headers: what is wrong is told by the status.
                page = await anext(pages, None)
                await asked.begin(200, [_LINES])
                while page is not None and not asked.head_only:
                    await asked.write(result_lines(page.results))
                    page = await anext(pages, None)
            await asked.write(b"", last=True)


async def _read(raw: bytes, requests_max: int) -> JobBody:
    """As `body_of`; streams beside it wait for a bit of the work at most."""
    bits = body_of(raw, requests_max)
    while True:
        try:
            next(bits)
        except StopIteration as end:
            body: JobBody = end.value
            return body
        await asyncio.sleep(0)


async def submitted(
    jobs: JobService, asked: Asked, submission: pb.SubmitJobRequest, key: str, seconds: float
) -> pb.SubmitJobResponse:
    """The accepted job. Without a key of the caller's it gets one for this request alone, as a lost replica's call is
    made again.
    """
    found: pb.SubmitJobResponse = await jobs.call(
        "SubmitJob", submission, asked.principal, timeout=seconds, key=key or f"once:{asked.request_id}"
    )
    return found


def idempotency_key(asked: Asked) -> str:
    """The caller's, "" = none. Raises INVALID_REQUEST."""
    key = asked.header(HEADER.lower().encode())
    if key is None:
        return ""
    # It goes on as gRPC metadata, which take ASCII alone.
    if not 0 < len(key) <= KEY_CHARS_MAX or not key.isascii() or not key.isprintable():
        message = f"'{HEADER}' must have 1 to {KEY_CHARS_MAX} printable ASCII characters. Send a random one, as a UUID."
        raise invalid(HEADER, message)
    return key
