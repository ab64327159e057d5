"""`/v1/batches`, as OpenAI's clients call it."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.jobs.v1 import jobs_pb2 as pb

from libs.errors import PlatformError, Reason
from services.gateway.api.jobs.asked import Asked, integer
from services.gateway.api.jobs.job_routes import LIMITS, JobLimits, idempotency_key, submitted
from services.gateway.api.jobs.routes import Route
from services.gateway.ports.jobs import JobService
from services.gateway.wire.job_documents import list_document, over
from services.gateway.wire.openai_batches import batch_document, batch_of, not_cancellable

_BODY_BYTES_MAX = 64 * 1024
_REPLAYED = (b"idempotent-replayed", b"true")


class BatchDesk:
    """What the routes do."""

    def __init__(self, jobs: JobService, limits: JobLimits) -> None:
        self._jobs, self._limits = jobs, limits

    def routes(self) -> Sequence[Route]:
        """All of them."""
        return (
            Route("POST", "/v1/batches", self.create),
            Route("GET", "/v1/batches", self.list),
            Route("GET", "/v1/batches/{id}", self.get),
            Route("POST", "/v1/batches/{id}/cancel", self.cancel),
        )

    async def create(self, asked: Asked) -> None:
        """The batch, whose file is read afterwards."""
        key = idempotency_key(asked)
        submission = batch_of(await asked.body(_BODY_BYTES_MAX))
        accepted = await submitted(self._jobs, asked, submission, key, self._limits.submit_seconds)
        await asked.reply(batch_document(accepted.job), more=[_REPLAYED] if accepted.replayed and key else None)

    async def list(self, asked: Asked) -> None:
        """The caller's batches, newest first."""
        given = asked.query("after", "limit")
        request = pb.ListJobsRequest(
            after=given.get("after", ""), limit=integer(given, "limit", 20, LIMITS), batches=True
        )
        page = await self._jobs.call("ListJobs", request, asked.principal, timeout=self._limits.call_seconds)
        await asked.reply(list_document([batch_document(job) for job in page.jobs], has_more=page.has_more))

    async def get(self, asked: Asked) -> None:
        """One batch."""
        await asked.reply(batch_document(await self._found(asked)))

    async def cancel(self, asked: Asked) -> None:
        """The batch, which has ended or is ending."""
        found = await self._found(asked)
        if not (over(found) or found.state == pb.JOB_STATE_CANCELLED):
            request = pb.CancelJobRequest(id=found.id)
            ended = await self._jobs.call("CancelJob", request, asked.principal, timeout=self._limits.call_seconds)
            found = ended.job
        if found.state != pb.JOB_STATE_CANCELLED:
            raise not_cancellable(found)
        await asked.reply(batch_document(found))

    async def _found(self, asked: Asked) -> pb.Job:
        request = pb.GetJobRequest(id=asked.args["id"])
        found = await self._jobs.call("GetJob", request, asked.principal, timeout=self._limits.call_seconds)
        job: pb.Job = found.job
        if not job.HasField("batch"):
            message = f"{asked.args['id'][:80]} is no batch. GET /v1/jobs/{{id}} tells of jobs."
            raise PlatformError(Reason.NOT_FOUND, message, started=False)
        return job
