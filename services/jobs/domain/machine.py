"""The jobs of one tenant as a pure model: the specification of the store's functions.

Every operation takes the time (milliseconds since the epoch) as an argument, and happens at once or not at all. The
store's functions (adapters/store/functions) are held to this model by random operations: every answer, and all that is
kept. What is said of an operation stands in ports/store.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from services.jobs.domain.agenda import Due, Task
from services.jobs.domain.attempt import BeginAsk, Begun, Effect, PartKey, Renewal, Return, Verdict
from services.jobs.domain.entries import REFUSE_MS, RETURNED_MS, Entry, owed
from services.jobs.domain.job import Batch, Job, JobError, JobState, NewJob, PartSpec, PartState, Request, StepResult
from services.jobs.domain.machine_attempts import apply, begin, put_back, renew
from services.jobs.domain.record import JobRecord, PartRecord, follow

KEEP_MS = 7 * 86_400_000


@dataclass(slots=True)
class JobBooks:
    """All that is kept of a tenant's jobs. `agenda`: by job, what is due when; `created`: how many there ever were."""

    jobs: dict[str, JobRecord] = field(default_factory=dict)
    agenda: dict[str, dict[Entry, int]] = field(default_factory=dict)
    created: int = 0


class TenantJobs:
    """`books` is all that it keeps; `keep_ms`: for how long a job is kept after its end was told."""

    def __init__(self, books: JobBooks | None = None, keep_ms: int = KEEP_MS) -> None:
        self.books = books or JobBooks()
        self._keep_ms = keep_ms

    # Acceptance

    def create(self, new: NewJob, now: int) -> Job:
        """See ports.Acceptance."""
        known = self.books.jobs.get(new.id)
        if known is not None:
            return known.job()
        record = JobRecord(new, self.books.created, now, now + new.expires_seconds * 1000)
        record.webhook, record.batch = new.webhook, new.batch
        record.requests = {request.step: request for request in new.requests}
        record.add(new.parts)
        self.books.jobs[new.id] = record
        self.books.created += 1
        return self._changed(record, now)

    def add_parts(self, job: str, specs: Sequence[PartSpec], reserved: int, now: int) -> Verdict:
        """See ports.Acceptance. Parts of a job that was confirmed are complete: nothing is added."""
        record = self.books.jobs.get(job)
        if record is None:
            return Verdict.UNKNOWN
        if record.ended:
            return Verdict.ENDED
        if record.state is not JobState.ACCEPTING:
            return Verdict.REPEATED
        if not follow(len(record.parts), specs):
            return Verdict.UNKNOWN
        if not record.add(specs):
            return Verdict.REPEATED
        record.reserved += reserved
        record.version += 1
        self._changed(record, now)
        return Verdict.APPLIED

    def confirm(self, job: str, reserved: int, now: int) -> Job | None:
        """See ports.Acceptance. A job of no parts has succeeded."""
        record = self.books.jobs.get(job)
        if record is None or record.state is not JobState.ACCEPTING:
            return record.job() if record else None
        if not record.has_file and now >= record.created_ms + REFUSE_MS:
            return record.job()
        record.state = JobState.REQUESTED
        record.reserved += reserved
        record.version += 1
        record.end_if_done(now)
        return self._changed(record, now)

    def refuse(self, job: str, error: JobError | None, now: int) -> Job | None:
        """See ports.Acceptance."""
        record = self.books.jobs.get(job)
        if record is None or record.state is not JobState.ACCEPTING:
            return record.job() if record else None
        if error is None:
            self._forget(record)
            return None
        record.error = error
        record.end(JobState.FAILED, now)
        return self._changed(record, now)

    def end(self, job: str, state: JobState, now: int) -> Job | None:
        """See ports.Acceptance."""
        record = self.books.jobs.get(job)
        if record is None or record.ended:
            return record.job() if record else None
        if state is JobState.CANCELLED:
            record.cancelled_ms = now
        record.end(state, now)
        return self._changed(record, now)

    # Attempts

    def begin(self, asks: Sequence[BeginAsk], now: int) -> list[Begun]:
        """See ports.Attempts."""
        return [self._begin(ask, now) for ask in asks]

    def _begin(self, ask: BeginAsk, now: int) -> Begun:
        record, part = self._find(ask.key)
        if record is None or part is None or record.state is JobState.ACCEPTING:
            return Begun(Verdict.UNKNOWN)
        begun = begin(record, part, ask, now)
        if begun.job is not None and part.state is PartState.RUNNING:
            self._changed(record, now)
            self._put_off(_send(ask.key), part.lease_ms)
        return begun

    def renew(self, renewals: Sequence[Renewal], now: int) -> list[Verdict]:
        """See ports.Attempts."""
        return [self._renew(renewal, now) for renewal in renewals]

    def _renew(self, renewal: Renewal, now: int) -> Verdict:
        record, part = self._find(renewal.key)
        if record is None or part is None:
            return Verdict.UNKNOWN
        verdict = renew(record, part, renewal, now)
        if verdict is Verdict.APPLIED:
            self._put_off(_send(renewal.key), part.lease_ms)
        return verdict

    def apply(self, effects: Sequence[Effect], now: int) -> list[Verdict]:
        """See ports.Attempts. Results of steps that are not the part's are nobody's."""
        return [self._apply(effect, now) for effect in effects]

    def _apply(self, effect: Effect, now: int) -> Verdict:
        record, part = self._find(effect.key)
        if record is None or part is None:
            return Verdict.UNKNOWN
        verdict = apply(record, part, effect, now)
        self._changed(record, now)
        return verdict

    def put_back(self, returns: Sequence[Return], now: int) -> list[Verdict]:
        """See ports.Attempts."""
        return [self._put_back(ask, now) for ask in returns]

    def _put_back(self, ask: Return, now: int) -> Verdict:
        record, part = self._find(ask.key)
        if record is None or part is None:
            return Verdict.UNKNOWN
        verdict = put_back(record, part, ask, now)
        self._changed(record, now)
        if verdict is Verdict.APPLIED:
            self._put_off(_send(ask.key), now + RETURNED_MS)
        return verdict

    # Reads

    def get(self, job: str) -> Job | None:
        """See ports.Jobs."""
        record = self.books.jobs.get(job)
        return record.job() if record else None

    def list(self, *, batches: bool, after: str, limit: int, key_id: str = "", user: str = "") -> Sequence[Job]:
        """See ports.Jobs. Nothing is older than a job that is not there, or is of the other kind."""
        older_than = self.books.created
        if after:
            record = self.books.jobs.get(after)
            older_than = record.place if record and (record.batch is not None) == batches else -1
        found = [
            record
            for record in self.books.jobs.values()
            if record.place < older_than and (record.batch is not None) == batches and _is_of(record, key_id, user)
        ]
        found.sort(key=lambda record: -record.place)
        return [record.job() for record in found[:limit]]

    def requests(self, key: PartKey) -> Sequence[Request]:
        """See ports.Jobs. None are left of a job whose end was told, but where parts of it may be reopened."""
        record, part = self._find(key)
        if record is None or part is None:
            return []
        return [record.requests[step] for step in part.steps if step in record.requests]

    def results(self, job: str, first: int, limit: int) -> Sequence[StepResult]:
        """See ports.Jobs."""
        record = self.books.jobs.get(job)
        steps = sorted(step for step in record.results if step >= first) if record else []
        return [record.results[step] for step in steps[:limit]] if record else []

    def parts(self, job: str) -> Sequence[PartSpec]:
        """See ports.Jobs."""
        record = self.books.jobs.get(job)
        return [record.parts[number].spec for number in sorted(record.parts)] if record else []

    # Agenda

    def claim(self, limit: int, lease_ms: int, now: int) -> Sequence[Entry]:
        """See ports.Agenda."""
        plans = self.books.agenda.values()
        due = sorted((at, entry.name(), entry) for plan in plans for entry, at in plan.items() if at <= now)[:limit]
        for _, _, entry in due:
            self._put_off(entry, now + lease_ms)
        return [entry for _, _, entry in due]

    def done(self, due: Due) -> None:
        """See ports.Agenda. All but FORGET leave the agenda with what they stand for, and not before."""
        record = self.books.jobs.get(due.job)
        if due.task is Task.FORGET and record is not None and self._owes(Entry(Task.FORGET, due.job)):
            self._forget(record)

    def later(self, job: str, task: Task, at_ms: int, part: int, now: int) -> None:
        """See ports.Agenda. What is not in the agenda is not added."""
        self._put_off(Entry(task, job, part if task is Task.SEND else 0), now + at_ms)

    # Endings

    def told(self, job: str, version: int, batch: Batch | None, now: int) -> Verdict:
        """See ports.Endings. `version` may be any since the end. Requests are let go where no part is dead."""
        record = self.books.jobs.get(job)
        if record is None:
            return Verdict.UNKNOWN
        if not record.ended or version < record.end_version:
            return Verdict.STALE
        if record.told:
            return Verdict.REPEATED
        record.told = True
        record.version += 1
        if batch is not None and record.batch is not None:
            files = batch.output_file_id, batch.error_file_id, batch.told_ms or now
            record.batch = replace(record.batch, output_file_id=files[0], error_file_id=files[1], told_ms=files[2])
        if not record.dead:
            record.requests = {}
        self._changed(record, now)
        return Verdict.APPLIED

    def announce(self, events: Sequence[tuple[str, int]], now: int) -> Sequence[Verdict]:
        """See ports.Endings. STALE: it was reopened since, or the store has lost that end."""
        return [self._announce(job, version, now) for job, version in events]

    def _announce(self, job: str, version: int, now: int) -> Verdict:
        record = self.books.jobs.get(job)
        if record is None:
            return Verdict.UNKNOWN
        if not record.ended or version < record.end_version:
            return Verdict.STALE
        if record.announced == record.end_version:
            return Verdict.REPEATED
        record.announced = record.end_version
        self._changed(record, now)
        return Verdict.APPLIED

    def hooked(self, job: str, version: int, status: int, state: str, now: int) -> None:
        """See ports.Endings. Nothing happens where no webhook is due."""
        record = self.books.jobs.get(job)
        if record is None or record.webhook is None or not self._owes(Entry(Task.HOOK, job)):
            return
        if version < record.end_version:
            return
        attempts = record.webhook.attempts + 1
        record.webhook = replace(record.webhook, state=state, attempts=attempts, status=status)
        record.version += 1
        self._changed(record, now)

    # The agenda follows

    def _find(self, key: PartKey) -> tuple[JobRecord | None, PartRecord | None]:
        record = self.books.jobs.get(key.job)
        return record, record.parts.get(key.part) if record else None

    def _changed(self, record: JobRecord, now: int) -> Job:
        """Plans what is owed and was not, and drops what is not owed any more."""
        plan, wanted = self.books.agenda.get(record.new.id, {}), owed(record, now, self._keep_ms)
        self.books.agenda[record.new.id] = {entry: plan.get(entry, at) for entry, at in wanted.items()}
        return record.job()

    def _owes(self, entry: Entry) -> bool:
        return entry in self.books.agenda.get(entry.job, {})

    def _put_off(self, entry: Entry, at: int) -> None:
        if self._owes(entry):
            self.books.agenda[entry.job][entry] = at

    def _forget(self, record: JobRecord) -> None:
        del self.books.jobs[record.new.id]
        del self.books.agenda[record.new.id]


def _is_of(record: JobRecord, key_id: str, user: str) -> bool:
    caller = record.new.caller
    return not key_id or caller.key_id == key_id or bool(user and caller.user == user)


def _send(key: PartKey) -> Entry:
    return Entry(Task.SEND, key.job, key.part)
