"""What each entry of the agenda asks for. Each may be done any number of times, by anybody, to the same end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from libs.blobs import Blobs
from libs.clock import Clock
from libs.errors import PlatformError
from services.jobs.domain.agenda import Due, Task
from services.jobs.domain.attempt import PartKey, Verdict
from services.jobs.domain.batch_lines import reservation_of
from services.jobs.domain.blob_names import folder
from services.jobs.domain.job import ENDED, Batch, Job, JobState
from services.jobs.domain.resend import Backlog, Look, look, next_look_seconds
from services.jobs.ports.neighbours import Gateways
from services.jobs.ports.observing import AgendaObserver
from services.jobs.ports.running import BatchFiles, Outgoing, WebhookCalls
from services.jobs.ports.store import Acceptance, Agenda, Endings, Jobs
from services.jobs.usecases.agenda import Doing
from services.jobs.usecases.expansion import CUTS_AT_ONCE
from services.jobs.usecases.sending import Sending

T = TypeVar("T")
RESERVATIONS_MAX = 500


@dataclass(frozen=True, slots=True)
class ChoreMeans:
    """What chores take."""

    acceptance: Acceptance
    jobs: Jobs
    agenda: Agenda
    endings: Endings
    gateways: Gateways
    outgoing: Outgoing
    sending: Sending
    files: BatchFiles
    webhooks: WebhookCalls
    blobs: Blobs


@dataclass(frozen=True, slots=True)
class ChoreLimits:
    """See AgendaSettings."""

    resend_seconds: float = 60.0
    lease_seconds: float = 30.0


class Chores:
    """Does what is due. `backlog` tells how long messages wait in the requested topic."""

    def __init__(
        self,
        means: ChoreMeans,
        clock: Clock,
        limits: ChoreLimits,
        observer: AgendaObserver,
        backlog: Callable[[], Backlog],
    ) -> None:
        self._means, self._clock, self._limits = means, clock, limits
        self._observer, self._backlog = observer, backlog

    def all(self) -> dict[Task, Doing]:
        """How each task is done."""
        return {
            Task.SEND: self.send,
            Task.EXPAND: self.send,
            Task.TELL: self.tell,
            Task.HOOK: self.hook,
            Task.EXPIRE: self.expire,
            Task.REFUSE: self.refuse,
            Task.FORGET: self.forget,
        }

    async def send(self, tenant: str, dues: Sequence[Due]) -> None:
        """Sends messages that are lost, or never were sent; holds back what only waits in its topic."""
        ages = dict(await _all(self._age(tenant, job) for job in {due.job for due in dues}))
        backlog, resend = self._backlog(), self._limits.resend_seconds
        looks = {job: look(age, backlog, resend) for job, age in ages.items()}
        lost = [due for due in dues if looks[due.job] is Look.LOST]
        await self._means.outgoing.request(lost)
        self._observer.did("send", "held", len(dues) - len(lost))
        for job, age in ages.items():
            if looks[job] is not Look.FRESH:  # that one is put off by the claim, and by who sends it
                at_ms = int(next_look_seconds(age, resend) * 1000)
                await self._means.sending.put_off([due for due in dues if due.job == job], at_ms)

    async def tell(self, tenant: str, dues: Sequence[Due]) -> None:
        """Lets an end leave: what is left of its money is free, its files are written, its event is published."""
        found = await _all(self._means.jobs.get(tenant, due.job) for due in dues)
        jobs = [job for job in found if job is not None and job.state in ENDED and not job.told]
        simple = [job for job in jobs if job.batch is None]
        work: list[Awaitable[None]] = [self._tell_batch(job, job.batch) for job in jobs if job.batch is not None]
        if simple:
            work.append(self._tell_simple(tenant, simple))
        await _all(work)

    async def hook(self, tenant: str, dues: Sequence[Due]) -> None:  # noqa: ARG002  Doing's shape
        """Calls webhooks."""
        await _all(self._means.webhooks.call_webhook(due) for due in dues)

    async def expire(self, tenant: str, dues: Sequence[Due]) -> None:
        """Ends jobs whose time is over."""
        await _all(self._means.acceptance.end(tenant, due.job, JobState.EXPIRED) for due in dues)

    async def refuse(self, tenant: str, dues: Sequence[Due]) -> None:
        """Undoes acceptances that were left half done."""
        await _all(self._refuse(tenant, due.job) for due in dues)

    async def forget(self, tenant: str, dues: Sequence[Due]) -> None:
        """Deletes jobs that were kept long enough: blobs first, or nobody would know of them any more."""
        await _all(self._forget(tenant, due) for due in dues)

    async def _age(self, tenant: str, job: str) -> tuple[str, float]:
        found = await self._means.jobs.get(tenant, job)
        return job, 0.0 if found is None else self._clock.unix() - found.created_ms / 1000

    async def _tell_simple(self, tenant: str, jobs: Sequence[Job]) -> None:
        """A gateway or broker that has just died makes even this longer than a lease."""
        async with self._kept([Due(tenant, Task.TELL, job.id) for job in jobs]):
            await self._means.gateways.release(tenant, [job.id for job in jobs])
            await _all(self._publish(job, None) for job in jobs)

    async def _tell_batch(self, job: Job, batch: Batch) -> None:
        """Files of a large batch take longer than a lease."""
        tenant = job.caller.tenant
        async with self._kept([Due(tenant, Task.TELL, job.id)]):
            parts = await self._means.jobs.parts(tenant, job.id)
            reservations = list(dict.fromkeys(part.reservation for part in parts))
            if batch.input_file_id and not job.started_ms:
                # Who cut its file may have died between paying for parts and storing them.
                reservations += [reservation_of(job.id, len(parts) + at) for at in range(CUTS_AT_ONCE)]
            for start in range(0, len(reservations), RESERVATIONS_MAX):
                await self._means.gateways.release(tenant, reservations[start : start + RESERVATIONS_MAX])
            written = await self._means.files.write_outputs(job) if batch.input_file_id else batch
            await self._publish(job, written)

    async def _publish(self, job: Job, batch: Batch | None) -> None:
        """An event that Kafka has is told of at once: others that fail beside it do not bring it back."""
        await self._means.outgoing.finished(job)
        verdict = await self._means.endings.told(job.caller.tenant, job.id, job.version, batch)
        if verdict is Verdict.APPLIED:
            self._observer.ended(job)

    async def _refuse(self, tenant: str, job: str) -> None:
        """The money first: once the job is gone, nobody knows of it. Nobody can confirm it any more by then."""
        found = await self._means.jobs.get(tenant, job)
        if found is None or found.state is not JobState.ACCEPTING:
            return
        numbers = range(found.parts)
        parts = await _all(self._means.jobs.requests(tenant, PartKey(job, number)) for number in numbers)
        blobs = {each.blob[: each.blob.rindex("/") + 1] for part in parts for each in part if each.blob}
        await self._means.gateways.release(tenant, [job])
        if await self._means.acceptance.refuse(tenant, job, None) is None:
            await _all(self._means.blobs.delete_prefix(each) for each in blobs)

    async def _forget(self, tenant: str, due: Due) -> None:
        await self._means.blobs.delete_prefix(folder(tenant, due.job))
        await self._means.agenda.done(due)

    @asynccontextmanager
    async def _kept(self, dues: Sequence[Due]) -> AsyncIterator[None]:
        """Puts them off again and again while they are done, so that nobody else begins with them."""
        lease_ms = int(self._limits.lease_seconds * 1000)

        async def keep() -> None:
            while True:
                await self._clock.sleep(self._limits.lease_seconds / 3)
                with suppress(PlatformError):  # then somebody else may do it too, which does no harm
                    await _all(self._means.agenda.later(due.tenant, due.job, due.task, lease_ms) for due in dues)

        keeping = asyncio.create_task(keep(), name="keep a task")
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)


async def _all(work: Iterable[Awaitable[T]]) -> list[T]:
    """All results. Raises the first error, when all have ended: one that fails keeps no other from its end."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for each in done:
        if isinstance(each, BaseException):
            raise each
    return [each for each in done if not isinstance(each, BaseException)]
