"""Following jobs: one poller of the store per job and process, however many watch it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.jobs.domain.job import ENDED, Job
from services.jobs.domain.submission import unknown
from services.jobs.ports.store import Jobs


@dataclass(frozen=True, slots=True)
class WatchTimes:
    """Seconds: between looks at a job that changes and, at most, at one that rests; silence until it is told again;
    for how long a store may be away. `jobs_max`: watched at once, each costs a read of the store per look.
    """

    poll: float = 0.25
    poll_max: float = 2.0
    heartbeat: float = 15.0
    patience: float = 10.0
    jobs_max: int = 5_000


def over(job: Job) -> bool:
    """Whether nothing more will be told of it: a batch's files are part of its end."""
    return job.state in ENDED and (job.batch is None or job.told)


class _Poller:
    """Looks at one job until nobody watches it, or it is over."""

    def __init__(self, first: Job) -> None:
        self.latest = first
        self.problem: PlatformError | None = None
        self.changed = asyncio.Event()
        self.watchers = 0
        self.task: asyncio.Task[None] | None = None

    def tell(self) -> None:
        """Wakes all who wait; each waits for an event of its own time."""
        self.changed.set()
        self.changed = asyncio.Event()


class Watches:
    """All watched jobs of this process."""

    def __init__(self, jobs: Jobs, clock: Clock, times: WatchTimes | None = None) -> None:
        self._jobs, self._clock, self._times = jobs, clock, times or WatchTimes()
        self._pollers: dict[tuple[str, str], _Poller] = {}
        self._closed = False

    async def close(self) -> None:
        """Ends every watch with DRAINING, for another replica to go on with: jobs outlive every grace."""
        self._closed = True
        for poller in self._pollers.values():
            poller.problem = _stopping()
            poller.tell()

    def __len__(self) -> int:
        return len(self._pollers)

    async def watch(self, tenant: str, first: Job) -> AsyncGenerator[Job, None]:
        """The job as it is, after every change that is seen, and again after each silence, until it is over.

        `first` is the job as it was just read. Changes that follow each other within a look are one. Raises NOT_FOUND
        when it is forgotten, STORE_UNAVAILABLE when the store was away for too long, OVERLOADED beyond `jobs_max`.
        """
        yield first
        if over(first):
            return
        poller = self._join(tenant, first)
        try:
            seen = first
            while not over(seen):
                changed = poller.changed
                if poller.latest.version <= seen.version and poller.problem is None:
                    await self._silence(changed)
                if poller.problem is not None:
                    raise replace(poller.problem)
                if poller.latest.version > seen.version:
                    seen = poller.latest
                yield seen
        finally:
            self._leave(tenant, first.id, poller)

    async def _silence(self, changed: asyncio.Event) -> None:
        """Until there is news, or a sign of life is due."""
        waiter = asyncio.ensure_future(changed.wait())
        timer = asyncio.ensure_future(self._clock.sleep(self._times.heartbeat))
        try:
            await asyncio.wait((waiter, timer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
            timer.cancel()

    def _join(self, tenant: str, first: Job) -> _Poller:
        if self._closed:
            raise _stopping()
        key = (tenant, first.id)
        poller = self._pollers.get(key)
        if poller is None:
            if len(self._pollers) >= self._times.jobs_max:
                message = (
                    f"{self._times.jobs_max} jobs are watched here already. Poll GET /v1/jobs/{{id}}, or try later."
                )
                raise PlatformError(Reason.OVERLOADED, message, retry_after_seconds=5.0)
            poller = self._pollers[key] = _Poller(first)
            poller.task = asyncio.create_task(self._poll(key, poller), name="job-watch")
        poller.watchers += 1
        return poller

    def _leave(self, tenant: str, job: str, poller: _Poller) -> None:
        poller.watchers -= 1
        if poller.watchers == 0:
            if self._pollers.get((tenant, job)) is poller:
                del self._pollers[tenant, job]
            if poller.task is not None:
                poller.task.cancel()

    async def _poll(self, key: tuple[str, str], poller: _Poller) -> None:
        times, pause, away_since = self._times, self._times.poll, self._clock.monotonic()
        while not over(poller.latest) and poller.problem is None:
            await self._clock.sleep(pause)
            try:
                found = await self._jobs.get(*key)
            except PlatformError as problem:
                if self._clock.monotonic() - away_since < times.patience:
                    continue
                poller.problem = problem
            else:
                away_since = self._clock.monotonic()
                if found is None:
                    poller.problem = unknown(key[1])
                elif found.version == poller.latest.version:
                    pause = min(pause * 1.5, times.poll_max)
                    continue
                else:
                    poller.latest, pause = found, times.poll
            poller.tell()
        # Whoever comes later begins with a poller of its own.
        if self._pollers.get(key) is poller:
            del self._pollers[key]


def _stopping() -> PlatformError:
    message = "This replica of the jobs service is stopping. Watch the job at another one."
    return PlatformError(Reason.DRAINING, message, started=False)
