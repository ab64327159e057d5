"""The files of batches: requests out of the input, results into the output. Neither is ever whole in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from libs.blobs import Blobs
from libs.errors import PlatformError, Reason
from libs.files import FileStore, NewFile, StoredFile, output_file_id
from services.jobs.domain.attempt import PartKey
from services.jobs.domain.batch_lines import LINE_BYTES_MAX, BatchLine, parsed
from services.jobs.domain.batch_output import answered, lost, unanswered
from services.jobs.domain.job import Batch, FileSlice, Job, PartSpec, Request, StepResult
from services.jobs.ports.store import Jobs
from services.jobs.usecases.expansion import viewer_of, works_of

OUTPUT_PURPOSE = "batch_output"
# Results read at once: with 64 KiB of body each at most, some megabytes.
_RESULTS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class BatchFileMeans:
    """What they need; `blobs` has the bodies of large results."""

    files: FileStore
    blobs: Blobs
    jobs: Jobs


class BatchFiles:
    """See ports.running.BatchFiles."""

    def __init__(self, means: BatchFileMeans) -> None:
        self._means = means

    async def requests_of(self, job: Job, part: PartSpec) -> Sequence[Request]:
        """See BatchFiles."""
        if part.slice is None or job.batch is None:
            raise ValueError(f"part {part.number} of {job.id} has no slice of a file: its requests are in the store")
        lines = await self._lines(job, part.slice, job.batch.endpoint)
        if len(lines) != part.count:
            message = f"Part {part.number} of {job.id} has {len(lines)} requests and should have {part.count}."
            raise PlatformError(Reason.INTERNAL, message)
        works = works_of(job.batch.endpoint, [line.body for line in lines])
        models = part.models or ("",) * part.count
        return [
            Request(part.first + place, line.custom_id, work, model)
            for place, (line, work, model) in enumerate(zip(lines, works, models, strict=True))
        ]

    async def write_outputs(self, job: Job) -> Batch:
        """See BatchFiles."""
        if job.batch is None:
            raise ValueError(f"{job.id} is no batch")
        output = await self._write(job, "output", self._answers(job)) if job.succeeded else ""
        error = await self._write(job, "error", self._failures(job)) if job.total > job.succeeded else ""
        return replace(job.batch, output_file_id=output, error_file_id=error)

    async def _lines(self, job: Job, found: FileSlice, endpoint: str) -> list[BatchLine]:
        file = await self._input(job, found.file_id)
        lines, number = list[BatchLine](), found.line
        async with aclosing(
            self._means.files.lines(file, found.start, found.length, line_bytes_max=LINE_BYTES_MAX)
        ) as read:
            async for line in read:
                if isinstance(each := parsed(line.data, number, endpoint), BatchLine):
                    lines.append(each)
                number += 1
        return lines

    async def _input(self, job: Job, file_id: str) -> StoredFile:
        try:
            return await self._means.files.get(viewer_of(job.caller), file_id)
        except PlatformError as error:
            if error.reason is Reason.NOT_FOUND:
                message = f"The input file {file_id} was deleted while its batch ran. Upload it again."
                raise PlatformError(Reason.NOT_FOUND, message) from error
            raise

    async def _write(self, job: Job, kind: str, lines: AsyncIterator[bytes]) -> str:
        """The file's id, a function of the job: a repeat writes the same file, and a job that was reopened by a
        replay of its dead letters replaces it.
        """
        file_id = output_file_id(job.created_ms, job.id, kind)
        upload = NewFile(filename=f"{job.id}_{kind}.jsonl", purpose=OUTPUT_PURPOSE)
        file = await self._means.files.create(viewer_of(job.caller), upload, lines, file_id=file_id)
        return file.id

    async def _answers(self, job: Job) -> AsyncGenerator[bytes]:
        async for result in self._results(job):
            if result.succeeded:
                yield await self._answered(job, result)

    async def _failures(self, job: Job) -> AsyncGenerator[bytes]:
        missing, step = _Missing(self, job, await self._means.jobs.parts(job.caller.tenant, job.id)), 0
        async for result in self._results(job):
            async for line in missing.lines(step, result.step):
                yield line
            if not result.succeeded:
                yield await self._answered(job, result)
            step = result.step + 1
        async for line in missing.lines(step, job.total):
            yield line

    async def _results(self, job: Job) -> AsyncGenerator[StepResult]:
        first = 0
        while page := await self._means.jobs.results(job.caller.tenant, job.id, first, _RESULTS_AT_ONCE):
            for result in page:
                yield result
            first = page[-1].step + 1

    async def _answered(self, job: Job, result: StepResult) -> bytes:
        if not result.blob:
            return answered(job.id, result, result.body)
        try:
            return answered(job.id, result, await self._means.blobs.get(result.blob))
        except PlatformError as error:
            if error.reason is Reason.NOT_FOUND:
                return lost(job.id, result)
            raise

    async def custom_ids(self, job: Job, part: PartSpec) -> Sequence[str | None]:
        """Names of a part's requests, in order; None for each of those whose file has gone."""
        try:
            if part.slice is not None:
                return [request.custom_id for request in await self.requests_of(job, part)]
            key = PartKey(job.id, part.number)
            return [request.custom_id for request in await self._means.jobs.requests(job.caller.tenant, key)]
        except PlatformError as error:
            if error.reason is Reason.NOT_FOUND:
                return [None] * part.count
            raise


class _Missing:
    """Lines of requests without a result. Asked for in order, so that each part is read once."""

    def __init__(self, files: BatchFiles, job: Job, parts: Sequence[PartSpec]) -> None:
        self._files, self._job, self._parts = files, job, parts
        self._place = 0
        self._names: Sequence[str | None] | None = None

    async def lines(self, first: int, behind: int) -> AsyncGenerator[bytes]:
        """Those of the steps from `first` on, before `behind`."""
        for step in range(first, behind):
            part = self._part_of(step)
            if self._names is None:
                self._names = await self._files.custom_ids(self._job, part)
            yield unanswered(self._job.id, step, self._names[step - part.first], self._job.state)

    def _part_of(self, step: int) -> PartSpec:
        while step >= self._parts[self._place].first + self._parts[self._place].count:
            self._place, self._names = self._place + 1, None
        return self._parts[self._place]
