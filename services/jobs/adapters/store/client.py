"""The store's functions of jobs, called with domain types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from libs.valkey import FunctionLibrary, Valkey
from services.jobs.adapters.store.codec import (
    STATES,
    job_of,
    pack,
    packed_error,
    packed_new,
    packed_parts,
    packed_result,
    part_of,
    request_of,
    result_of,
)
from services.jobs.adapters.store.library import JOBS, TENANTS, prefix_of
from services.jobs.domain.agenda import Due, Task
from services.jobs.domain.attempt import BeginAsk, Begun, Effect, PartKey, Renewal, Return, Verdict
from services.jobs.domain.entries import Entry, entry_of
from services.jobs.domain.job import Batch, Job, JobError, JobState, NewJob, PartSpec, Request, StepResult
from services.jobs.domain.machine import KEEP_MS

# By their numbers in the store, from 1; and by the digits that they are told with.
_VERDICTS = tuple(Verdict)
# `h`, `b` and `e` of a job that runs.
_RUNS = (None, None, None)
_BY_DIGIT = {ord("1") + at: verdict for at, verdict in enumerate(_VERDICTS)}


class ValkeyJobs:
    """See ports.Acceptance, Attempts, Jobs, Agenda and Endings.

    A job is kept for `keep_seconds` after its end was told: longer than a message of it may stay in a topic.
    """

    def __init__(self, valkey: Valkey, keep_seconds: float = KEEP_MS / 1000, library: FunctionLibrary = JOBS) -> None:
        self._valkey = valkey
        self._library = library
        self._keep_ms = round(keep_seconds * 1000)

    async def _call(self, function: str, tenant: str, *args: Any) -> Any:
        return await self._valkey.call(self._library, function, [prefix_of(tenant)], args)

    async def _job(self, function: str, tenant: str, *args: Any) -> Job | None:
        fields = await self._call(function, tenant, *args)
        return None if fields is None else job_of(tenant, fields)

    async def _verdicts(self, function: str, tenant: str, asks: Iterable[Any]) -> Sequence[Verdict]:
        return [_BY_DIGIT[digit] for digit in await self._call(function, tenant, pack(asks))]

    async def create(self, job: NewJob) -> Job:
        """See ports.Acceptance. The tenant is listed first: no sweeper may miss a job."""
        tenant = job.caller.tenant
        await self._valkey.command("SADD", TENANTS, tenant)
        return job_of(tenant, await self._call("create", tenant, packed_new(job)))

    async def add_parts(self, tenant: str, job: str, parts: Sequence[PartSpec], reserved: int) -> Verdict:
        """See ports.Acceptance."""
        return _verdict(await self._call("add_parts", tenant, packed_parts(job, reserved, parts)))

    async def confirm(self, tenant: str, job: str, reserved: int) -> Job | None:
        """See ports.Acceptance."""
        return await self._job("confirm", tenant, job, reserved)

    async def refuse(self, tenant: str, job: str, error: JobError | None) -> Job | None:
        """See ports.Acceptance."""
        return await self._job("refuse", tenant, job, *(() if error is None else (packed_error(error),)))

    async def end(self, tenant: str, job: str, state: JobState) -> Job | None:
        """See ports.Acceptance."""
        return await self._job("end_job", tenant, job, STATES.index(state) + 1)

    async def begin(self, tenant: str, asks: Sequence[BeginAsk]) -> Sequence[Begun]:
        """See ports.Attempts."""
        packed = pack(
            [(ask.key.job, ask.key.part, ask.owner, ask.lease_ms, ask.attempts_max, int(ask.replayed)) for ask in asks]
        )
        return [_begun(tenant, *found) for found in await self._call("begin", tenant, packed)]

    async def renew(self, tenant: str, renewals: Sequence[Renewal]) -> Sequence[Verdict]:
        """See ports.Attempts."""
        asks = [(ask.key.job, ask.key.part, ask.epoch, ask.lease_ms, ask.tokens) for ask in renewals]
        return await self._verdicts("renew", tenant, asks)

    async def apply(self, tenant: str, effects: Sequence[Effect]) -> Sequence[Verdict]:
        """See ports.Attempts."""
        asks = [
            (effect.key.job, effect.key.part, effect.epoch, [packed_result(result) for result in effect.results])
            for effect in effects
        ]
        return await self._verdicts("apply", tenant, asks)

    async def put_back(self, tenant: str, returns: Sequence[Return]) -> Sequence[Verdict]:
        """See ports.Attempts."""
        asks = [
            (ask.key.job, ask.key.part, ask.epoch, int(ask.dead), [packed_result(result) for result in ask.results])
            for ask in returns
        ]
        return await self._verdicts("put_back", tenant, asks)

    async def get(self, tenant: str, job: str) -> Job | None:
        """See ports.Jobs."""
        return await self._job("get", tenant, job)

    async def list(
        self, tenant: str, *, batches: bool, after: str, limit: int, key_id: str = "", user: str = ""
    ) -> Sequence[Job]:
        """See ports.Jobs."""
        found = await self._call("list", tenant, int(batches), after, limit, key_id, user)
        return [job_of(tenant, fields) for fields in found]

    async def requests(self, tenant: str, key: PartKey) -> Sequence[Request]:
        """See ports.Jobs."""
        return [request_of(*found) for found in await self._call("requests", tenant, key.job, key.part)]

    async def results(self, tenant: str, job: str, first: int, limit: int) -> Sequence[StepResult]:
        """See ports.Jobs."""
        return [result_of(*found) for found in await self._call("results", tenant, job, first, limit)]

    async def parts(self, tenant: str, job: str) -> Sequence[PartSpec]:
        """See ports.Jobs."""
        return [part_of(packed) for packed in await self._call("parts", tenant, job)]

    async def tenants(self) -> Sequence[str]:
        """See ports.Agenda."""
        return sorted(name.decode() for name in await self._valkey.command("SMEMBERS", TENANTS))

    async def claim(self, tenant: str, limit: int, lease_ms: int) -> Sequence[Due]:
        """See ports.Agenda."""
        names = await self._call("claim", tenant, limit, lease_ms)
        return [Due(tenant, *entry_of(name.decode())) for name in names]

    async def done(self, due: Due) -> None:
        """See ports.Agenda."""
        if due.task is Task.FORGET:
            await self._call("forget", due.tenant, due.job)

    async def later(self, tenant: str, job: str, task: Task, at_ms: int, part: int = 0) -> None:
        """See ports.Agenda."""
        await self._call("later", tenant, Entry(task, job, part).name(), at_ms)

    async def told(self, tenant: str, job: str, version: int, batch: Batch | None) -> Verdict:
        """See ports.Endings."""
        files = () if batch is None else (batch.output_file_id, batch.error_file_id, batch.told_ms)
        return _verdict(await self._call("told", tenant, job, version, self._keep_ms, *files))

    async def announce(self, tenant: str, events: Sequence[tuple[str, int]]) -> Sequence[Verdict]:
        """See ports.Endings."""
        return await self._verdicts("announce", tenant, events)

    async def hooked(self, tenant: str, job: str, version: int, status: int, *, state: str) -> None:
        """See ports.Endings."""
        await self._call("hooked", tenant, job, version, status, state)


def _verdict(number: int) -> Verdict:
    return _VERDICTS[number - 1]


def _begun(
    tenant: str, verdict: int, epoch: int = 0, attempt: int = 0, steps: Sequence[int] = (), *fields: Any
) -> Begun:
    if not fields:
        return Begun(_verdict(verdict))
    state, info, constants, part, *rest = fields
    job = job_of(tenant, (state, info, constants, *(rest or _RUNS)))
    return Begun(_verdict(verdict), epoch, attempt, job, part_of(part), frozenset(steps))
