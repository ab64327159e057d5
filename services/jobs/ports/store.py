"""Jobs in the store. Every method is one atomic function of it, may be repeated, and raises STORE_UNAVAILABLE.

All of one job has the tenant as hash tag, so that each call sees one slot of a cluster. Time is the store's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.jobs.domain.agenda import Due, Task
from services.jobs.domain.attempt import BeginAsk, Begun, Effect, PartKey, Renewal, Return, Verdict
from services.jobs.domain.job import Batch, Job, JobError, JobState, NewJob, PartSpec, Request, StepResult


class Acceptance(Protocol):
    """From a submission to a job that runs."""

    async def create(self, job: NewJob) -> Job:
        """Stores a job as ACCEPTING, with REFUSE in its agenda, or EXPAND where it has a file that is to be cut.

        One of that id that is there already is returned as it is, whatever its fingerprint.
        """
        ...

    async def add_parts(self, tenant: str, job: str, parts: Sequence[PartSpec], reserved: int) -> Verdict:
        """Adds parts that were cut out of its file (those numbers that it lacks); `reserved` (nano-dollars) with them.

        ENDED where the job has ended. UNKNOWN, and nothing is added, where a part before one of these is missing.
        """
        ...

    async def confirm(self, tenant: str, job: str, reserved: int) -> Job | None:
        """ACCEPTING → REQUESTED, with SEND for each part at once, and EXPIRE; `reserved` (nano-dollars) is added.

        Returns the job as it stands then, None = unknown. A job in any other state is left as it is, and so is one that
        is ACCEPTING, without a file, since REFUSE is due: somebody may be giving its money back.
        """
        ...

    async def refuse(self, tenant: str, job: str, error: JobError | None) -> Job | None:
        """Ends an ACCEPTING job: FAILED with `error` (kept, told), or forgotten without a trace when that is None."""
        ...

    async def end(self, tenant: str, job: str, state: JobState) -> Job | None:
        """Asks a job to end as CANCELLED or EXPIRED, which it does at once: its attempts hear ENDED, and results that
        come later are not kept. One that has ended is left as it is. None = unknown.
        """
        ...


class Attempts(Protocol):
    """What consumers do with parts. All asks of a call are of one tenant; verdicts come in their order."""

    async def begin(self, tenant: str, asks: Sequence[BeginAsk]) -> Sequence[Begun]:
        """Records attempts, before any of their work: a higher epoch each, which fences off all earlier ones."""
        ...

    async def renew(self, tenant: str, renewals: Sequence[Renewal]) -> Sequence[Verdict]:
        """Puts SEND off by the lease for those that are not stale."""
        ...

    async def apply(self, tenant: str, effects: Sequence[Effect]) -> Sequence[Verdict]:
        """Keeps results, counts, ends parts and jobs; an ended job has TELL in its agenda at once."""
        ...

    async def put_back(self, tenant: str, returns: Sequence[Return]) -> Sequence[Verdict]:
        """Parts that wait again (for their message in a retry topic: SEND is put off by an hour), or are dead."""
        ...


class Jobs(Protocol):
    """Reads. Nothing here changes anything."""

    async def get(self, tenant: str, job: str) -> Job | None:
        """The job, None = unknown or forgotten."""
        ...

    async def list(
        self, tenant: str, *, batches: bool, after: str, limit: int, key_id: str = "", user: str = ""
    ) -> Sequence[Job]:
        """Newest first, those older than the job `after`; with `key_id`, those that it or `user` submitted."""
        ...

    async def requests(self, tenant: str, key: PartKey) -> Sequence[Request]:
        """Those of a part that stand in the store, in order."""
        ...

    async def results(self, tenant: str, job: str, first: int, limit: int) -> Sequence[StepResult]:
        """Those there are of the steps from `first` on, in order, `limit` at most."""
        ...

    async def parts(self, tenant: str, job: str) -> Sequence[PartSpec]:
        """All parts, in order."""
        ...


class Agenda(Protocol):
    """What is due. Claiming puts it off, so that of several replicas one does it, and another if that one dies."""

    async def tenants(self) -> Sequence[str]:
        """Every tenant that may have jobs."""
        ...

    async def claim(self, tenant: str, limit: int, lease_ms: int) -> Sequence[Due]:
        """What is due, the oldest first; put off by the lease."""
        ...

    async def done(self, due: Due) -> None:
        """FORGET: deletes the job with all that the store has of it. All else that a job owes leaves the agenda with
        the change that it stands for (`told`, `hooked`, `end`, …), and not before: then this changes nothing.
        """
        ...

    async def later(self, tenant: str, job: str, task: Task, at_ms: int, part: int = 0) -> None:
        """To be done at a time: `at_ms` from now on. What is not in the agenda (any more) is not added."""
        ...


class Endings(Protocol):
    """What follows an end."""

    async def told(self, tenant: str, job: str, version: int, batch: Batch | None) -> Verdict:
        """The end of that version (or any since) has left: no TELL again; files are set, FORGET is planned. STALE for
        an earlier version (it was reopened meanwhile).
        """
        ...

    async def announce(self, tenant: str, events: Sequence[tuple[str, int]]) -> Sequence[Verdict]:
        """(job, version) of ends that were read from the finished topic: plans a webhook, once per end. STALE: reopened
        since, or an end that the store has lost.
        """
        ...

    async def hooked(self, tenant: str, job: str, version: int, status: int, *, state: str) -> None:
        """An attempt at the webhook, of that version's end (or any since), came to `status` (0 = to none); `state`
        as of Webhook. Of an earlier version nothing is kept: it was reopened since, and has another end to tell.
        """
        ...
