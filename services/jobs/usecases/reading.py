"""Jobs as their callers see them: one, many, and their results."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from libs.blobs import Blobs
from libs.errors import PlatformError, Reason
from services.jobs.domain.job import Caller, Job, JobState, StepResult
from services.jobs.domain.submission import unknown
from services.jobs.ports.store import Jobs

LIMIT_DEFAULT = 20
LIMIT_MAX = 100
# Jobs that one call looks at where it asks for a state: the store has no order by state.
SCANNED_MAX = 2_000
# Of the results that come with a job; all of them are read in a stream.
RESULT_BYTES_MAX = 4 * 2**20
RESULTS_PAGE = 16
# What a body that is gone is answered with, so that the others can be read.
_GONE = b'{"error":{"message":"The answer is no longer kept.","type":"api_error","param":null,"code":"not_found"}}'


@dataclass(frozen=True, slots=True)
class JobPage:
    """Jobs, newest first; the next page is behind the job `after`."""

    jobs: Sequence[Job]
    has_more: bool
    after: str


@dataclass(frozen=True, slots=True)
class ReadResult:
    """A result with its body, wherever that was."""

    result: StepResult
    body: bytes


class JobReader:
    """Reads; everything raises STORE_UNAVAILABLE."""

    def __init__(self, jobs: Jobs, blobs: Blobs) -> None:
        self._jobs, self._blobs = jobs, blobs

    async def get(self, caller: Caller, job: str) -> Job:
        """The job; raises NOT_FOUND for one that the caller may not see."""
        found = await self._jobs.get(caller.tenant, job)
        if found is None or not caller.may_see(found.caller):
            raise unknown(job)
        return found

    async def list(self, caller: Caller, *, batches: bool, after: str, limit: int, state: JobState | None) -> JobPage:
        """Jobs of the caller. With `state` the page may be short, or empty, though there are more."""
        if limit > LIMIT_MAX:
            message = f"'limit' is {limit}; a page has 1 to {LIMIT_MAX} jobs."
            raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param="limit")
        wanted, found, scanned = limit or LIMIT_DEFAULT, list[Job](), 0
        page_size = wanted + 1 if state is None else LIMIT_MAX
        while scanned < SCANNED_MAX:
            page = await self._page(caller, batches=batches, after=after, limit=page_size)
            for job in page:
                if len(found) == wanted:
                    return JobPage(found, has_more=True, after=after)
                after = job.id
                if state is None or job.state is state:
                    found.append(job)
            scanned += len(page)
            if state is None or len(page) < page_size:
                return JobPage(found, has_more=False, after=after)
        return JobPage(found, has_more=True, after=after)

    async def _page(self, caller: Caller, *, batches: bool, after: str, limit: int) -> Sequence[Job]:
        if caller.manages_tenant:
            return await self._jobs.list(caller.tenant, batches=batches, after=after, limit=limit)
        return await self._jobs.list(
            caller.tenant, batches=batches, after=after, limit=limit, key_id=caller.key_id, user=caller.user
        )

    async def first_results(self, job: Job, count: int) -> Sequence[ReadResult]:
        """Results of the first `count` steps, those there are, as many as fit a message."""
        found, size = list[ReadResult](), 0
        async for page in self.results(job, 0):
            for read in page:
                size += len(read.body)
                if read.result.step >= count or (found and size > RESULT_BYTES_MAX):
                    return found
                found.append(read)
        return found

    async def results(self, job: Job, first: int) -> AsyncGenerator[Sequence[ReadResult], None]:
        """Pages of results from the step `first` on, in order, those there are."""
        tenant = job.caller.tenant
        while page := await self._jobs.results(tenant, job.id, first, RESULTS_PAGE):
            yield [ReadResult(result, await self._body(result)) for result in page]
            if len(page) < RESULTS_PAGE:
                return
            first = page[-1].step + 1

    async def _body(self, result: StepResult) -> bytes:
        if not result.blob:
            return result.body
        try:
            return await self._blobs.get(result.blob)
        except PlatformError as problem:
            if problem.reason is not Reason.NOT_FOUND:
                raise
            return _GONE
