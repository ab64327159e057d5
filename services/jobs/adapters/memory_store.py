"""Jobs in memory, over the pure model: for tests of what uses them. Held to the store by one contract suite."""

from __future__ import annotations

from collections.abc import Sequence

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.jobs.domain.agenda import Due, Task
from services.jobs.domain.attempt import BeginAsk, Begun, Effect, PartKey, Renewal, Return, Verdict
from services.jobs.domain.job import Batch, Job, JobError, JobState, NewJob, PartSpec, Request, StepResult
from services.jobs.domain.machine import KEEP_MS, TenantJobs


class MemoryJobs:
    """See ports.Acceptance, Attempts, Jobs, Agenda and Endings. While `down`, everything is refused."""

    def __init__(self, clock: Clock, keep_seconds: float = KEEP_MS / 1000) -> None:
        self._clock = clock
        self._keep_ms = round(keep_seconds * 1000)
        self._tenants: dict[str, TenantJobs] = {}
        self.down = False

    def of(self, tenant: str) -> TenantJobs:
        """The model of a tenant's jobs, for tests that look inside."""
        if tenant not in self._tenants:
            self._tenants[tenant] = TenantJobs(keep_ms=self._keep_ms)
        return self._tenants[tenant]

    def _now(self) -> int:
        if self.down:
            message = "The store (in memory) does not answer: a test says so. Let the test bring it up; retry."
            raise PlatformError(Reason.STORE_UNAVAILABLE, message, retry_after_seconds=1.0, started=False)
        return round(self._clock.unix() * 1000)

    def _at(self, tenant: str) -> TenantJobs:
        self._now()
        return self._tenants.get(tenant) or TenantJobs()

    async def create(self, job: NewJob) -> Job:
        """See ports.Acceptance."""
        now = self._now()
        return self.of(job.caller.tenant).create(job, now)

    async def add_parts(self, tenant: str, job: str, parts: Sequence[PartSpec], reserved: int) -> Verdict:
        """See ports.Acceptance."""
        return self._at(tenant).add_parts(job, parts, reserved, self._now())

    async def confirm(self, tenant: str, job: str, reserved: int) -> Job | None:
        """See ports.Acceptance."""
        return self._at(tenant).confirm(job, reserved, self._now())

    async def refuse(self, tenant: str, job: str, error: JobError | None) -> Job | None:
        """See ports.Acceptance."""
        return self._at(tenant).refuse(job, error, self._now())

    async def end(self, tenant: str, job: str, state: JobState) -> Job | None:
        """See ports.Acceptance."""
        return self._at(tenant).end(job, state, self._now())

    async def begin(self, tenant: str, asks: Sequence[BeginAsk]) -> Sequence[Begun]:
        """See ports.Attempts."""
        return self._at(tenant).begin(asks, self._now())

    async def renew(self, tenant: str, renewals: Sequence[Renewal]) -> Sequence[Verdict]:
        """See ports.Attempts."""
        return self._at(tenant).renew(renewals, self._now())

    async def apply(self, tenant: str, effects: Sequence[Effect]) -> Sequence[Verdict]:
        """See ports.Attempts."""
        return self._at(tenant).apply(effects, self._now())

    async def put_back(self, tenant: str, returns: Sequence[Return]) -> Sequence[Verdict]:
        """See ports.Attempts."""
        return self._at(tenant).put_back(returns, self._now())

    async def get(self, tenant: str, job: str) -> Job | None:
        """See ports.Jobs."""
        return self._at(tenant).get(job)

    async def list(
        self, tenant: str, *, batches: bool, after: str, limit: int, key_id: str = "", user: str = ""
    ) -> Sequence[Job]:
        """See ports.Jobs."""
        return self._at(tenant).list(batches=batches, after=after, limit=limit, key_id=key_id, user=user)

    async def requests(self, tenant: str, key: PartKey) -> Sequence[Request]:
        """See ports.Jobs."""
        return self._at(tenant).requests(key)

    async def results(self, tenant: str, job: str, first: int, limit: int) -> Sequence[StepResult]:
        """See ports.Jobs."""
        return self._at(tenant).results(job, first, limit)

    async def parts(self, tenant: str, job: str) -> Sequence[PartSpec]:
        """See ports.Jobs."""
        return self._at(tenant).parts(job)

    async def tenants(self) -> Sequence[str]:
        """See ports.Agenda."""
        self._now()
        return sorted(self._tenants)

    async def claim(self, tenant: str, limit: int, lease_ms: int) -> Sequence[Due]:
        """See ports.Agenda."""
        found = self._at(tenant).claim(limit, lease_ms, self._now())
        return [Due(tenant, task, job, part) for task, job, part in found]

    async def done(self, due: Due) -> None:
        """See ports.Agenda."""
        self._at(due.tenant).done(due)

    async def later(self, tenant: str, job: str, task: Task, at_ms: int, part: int = 0) -> None:
        """See ports.Agenda."""
        self._at(tenant).later(job, task, at_ms, part, self._now())

    async def told(self, tenant: str, job: str, version: int, batch: Batch | None) -> Verdict:
        """See ports.Endings."""
        return self._at(tenant).told(job, version, batch, self._now())

    async def announce(self, tenant: str, events: Sequence[tuple[str, int]]) -> Sequence[Verdict]:
        """See ports.Endings."""
        return self._at(tenant).announce(events, self._now())

    async def hooked(self, tenant: str, job: str, version: int, status: int, *, state: str) -> None:
        """See ports.Endings."""
        self._at(tenant).hooked(job, version, status, state, self._now())
