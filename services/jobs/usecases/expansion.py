"""A batch's file becomes parts: looked at as a whole, then cut, each part paid for before it is stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from headrace.gateway.v1.work_pb2 import Work

from libs.errors import PlatformError, Reason
from libs.files import FileStore, FileViewer, StoredFile
from libs.kafka import KafkaError
from libs.telemetry import get_logger
from services.jobs.domain.agenda import Due, Task
from services.jobs.domain.attempt import Verdict
from services.jobs.domain.batch_lines import LINE_BYTES_MAX, Cut, Cutter, Inspection, LineFaultError, reservation_of
from services.jobs.domain.job import ENDED, Batch, Caller, Job, JobError, JobState, LineError
from services.jobs.ports.neighbours import Gateways, Reserved
from services.jobs.ports.running import Outgoing
from services.jobs.ports.store import Acceptance, Agenda, Jobs
from services.jobs.usecases.failures import lasting

# Parts that are paid for at once: enough to hide a gateway's latency, few enough for its live calls not to notice.
CUTS_AT_ONCE = 4
# Lines between two turns of the event loop.
_LINES_AT_ONCE = 200
_SENDS_AT_ONCE = 500
# While a file is cut its message is not sent again: no second consumer need begin with it.
_AGAIN_MS = 60_000
_GROUPS_PER_WORD = 4

_log = get_logger("jobs.expansion")


@dataclass(frozen=True, slots=True)
class ExpansionMeans:
    """What it needs."""

    acceptance: Acceptance
    jobs: Jobs
    gateways: Gateways
    files: FileStore
    outgoing: Outgoing
    agenda: Agenda


class Expander:
    """See ports.running.Expansion. Two that expand the same job at once do no harm: cuts, reservations and parts are
    functions of the file.
    """

    def __init__(self, means: ExpansionMeans) -> None:
        self._means = means

    async def expand(self, tenant: str, job: str) -> None:
        """See Expansion."""
        found = await self._means.jobs.get(tenant, job)
        if found is None or found.batch is None or not found.batch.input_file_id:
            return
        if found.state in ENDED:
            await self._release_strays(found)
        elif found.state is JobState.ACCEPTING:
            await self._expand(found, found.batch)

    async def _expand(self, job: Job, batch: Batch) -> None:
        file = await self._file(job.caller, batch.input_file_id)
        if file is None:
            message = f"The input file {batch.input_file_id} has been deleted. Upload it again and make another batch."
            fault = LineError("file_not_found", message, param="input_file_id")
            await self._fail(job, JobError(Reason.NOT_FOUND.value, message, lines=(fault,)))
            await self._release_strays(job)
            return
        parts = await self._means.jobs.parts(job.caller.tenant, job.id)
        # Parts are stored once the whole file was found to be right.
        if not parts and (faults := await self._faults(file, batch.endpoint)):
            await self._fail(job, _error_of(faults))
            return
        cutter = Cutter(file.id, batch.endpoint, parts[-1] if parts else None)
        try:
            if await self._add_all(job, batch.endpoint, file, cutter):
                await self._confirm(job)
        except LineFaultError as error:
            await self._fail(job, _error_of([error.fault]))

    async def _add_all(self, job: Job, endpoint: str, file: StoredFile, cutter: Cutter) -> bool:
        number = 0
        async with aclosing(self._cuts(file, cutter)) as groups:
            async for cuts in groups:
                if number % _GROUPS_PER_WORD == 0:
                    await self._means.agenda.later(job.caller.tenant, job.id, Task.EXPAND, _AGAIN_MS)
                if not await self._add(job, endpoint, cuts):
                    return False
                number += 1
        return True

    async def _file(self, caller: Caller, file_id: str) -> StoredFile | None:
        try:
            return await self._means.files.get(viewer_of(caller), file_id)
        except PlatformError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise

    async def _faults(self, file: StoredFile, endpoint: str) -> Sequence[LineError]:
        inspection, number = Inspection(endpoint), 0
        async with aclosing(self._means.files.lines(file, line_bytes_max=LINE_BYTES_MAX)) as lines:
            async for line in lines:
                if not inspection.take(line.data):
                    break
                number += 1
                if number % _LINES_AT_ONCE == 0:
                    await asyncio.sleep(0)
        return inspection.end()

    async def _cuts(self, file: StoredFile, cutter: Cutter) -> AsyncGenerator[list[Cut]]:
        group: list[Cut] = []
        async for line in self._means.files.lines(file, cutter.start, line_bytes_max=LINE_BYTES_MAX):
            if cut := cutter.take(line.data, line.start, line.length):
                group.append(cut)
                # By number, so that who goes on after a crash makes the same groups.
                if cut.number % CUTS_AT_ONCE == CUTS_AT_ONCE - 1:
                    yield group
                    group = []
        if cut := cutter.end():
            group.append(cut)
        if group:
            yield group

    async def _add(self, job: Job, endpoint: str, cuts: Sequence[Cut]) -> bool:
        """Pays for parts and stores them. False: the job has ended, by this or otherwise."""
        numbers = [cut.number for cut in cuts]
        try:
            paid = await self._pay(job, endpoint, cuts)
        except PlatformError as error:
            if not lasting(error):
                raise
            await self._fail(job, JobError(error.reason.value, error.message))
            await self._release(job, numbers)
            return False
        parts = [cut.part(job.id, each.models) for cut, each in zip(cuts, paid, strict=True)]
        reserved = sum(each.amount for each in paid)
        verdict = await self._means.acceptance.add_parts(job.caller.tenant, job.id, parts, reserved)
        if verdict is Verdict.UNKNOWN and await self._means.jobs.get(job.caller.tenant, job.id) is not None:
            # Released, these could never be paid for again: whoever comes next goes on behind what there is.
            message = f"The store has lost parts of {job.id}. They are added again."
            raise PlatformError(Reason.STORE_UNAVAILABLE, message)
        if verdict in (Verdict.ENDED, Verdict.UNKNOWN):
            # Its end released the parts that it had; these came too late.
            await self._release(job, numbers)
            return False
        return True

    async def _pay(self, job: Job, endpoint: str, cuts: Sequence[Cut]) -> list[Reserved]:
        """Raises the refusal, if there is one among other failures: it decides."""
        calls = (
            self._means.gateways.reserve(
                reservation_of(job.id, cut.number), job.caller, works_of(endpoint, cut.bodies), batch=True
            )
            for cut in cuts
        )
        found = await asyncio.gather(*calls, return_exceptions=True)
        problems = [each for each in found if isinstance(each, BaseException)]
        if problems:
            raise next((each for each in problems if isinstance(each, PlatformError) and lasting(each)), problems[0])
        return [each for each in found if isinstance(each, Reserved)]

    async def _confirm(self, job: Job) -> None:
        tenant = job.caller.tenant
        confirmed = await self._means.acceptance.confirm(tenant, job.id, 0)
        if confirmed is None or confirmed.state is not JobState.REQUESTED:
            return
        _log.info("a batch was cut into parts", job=job.id, parts=confirmed.parts, requests=confirmed.total)
        for first in range(0, confirmed.parts, _SENDS_AT_ONCE):
            numbers = range(first, min(confirmed.parts, first + _SENDS_AT_ONCE))
            try:
                await self._means.outgoing.request([Due(tenant, Task.SEND, job.id, number) for number in numbers])
            except KafkaError as problem:
                _log.warning("a batch's messages wait on the agenda", job=job.id, why=str(problem))
                return

    async def _fail(self, job: Job, error: JobError) -> None:
        await self._means.acceptance.refuse(job.caller.tenant, job.id, error)
        _log.info("a batch failed before it ran", job=job.id, reason=error.reason, line=error.line)

    async def _release_strays(self, job: Job) -> None:
        """Who was here before may have died between paying for parts and storing them."""
        await self._release(job, range(job.parts, job.parts + CUTS_AT_ONCE))

    async def _release(self, job: Job, numbers: Sequence[int]) -> None:
        reservations = [reservation_of(job.id, number) for number in numbers]
        await self._means.gateways.release(job.caller.tenant, reservations)


def viewer_of(caller: Caller) -> FileViewer:
    """A job's caller, as files know callers."""
    return FileViewer(
        tenant=caller.tenant, key_id=caller.key_id, user=caller.user, manages_tenant=caller.manages_tenant
    )


def works_of(endpoint: str, bodies: Sequence[bytes]) -> list[bytes]:
    """headrace.gateway.v1.Work for each body, encoded."""
    return [Work(body=body, path=endpoint).SerializeToString() for body in bodies]


def _error_of(faults: Sequence[LineError]) -> JobError:
    first = faults[0]
    message = f"Line {first.line}: {first.message}" if first.line else first.message
    return JobError(Reason.INVALID_REQUEST.value, message, first.line, tuple(faults))
