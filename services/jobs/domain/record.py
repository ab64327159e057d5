"""A job as the model keeps it: what was submitted, and what has become of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from services.jobs.domain.job import (
    ENDED,
    Batch,
    Job,
    JobError,
    JobState,
    NewJob,
    PartSpec,
    PartState,
    Request,
    StepResult,
    Usage,
    Webhook,
)


@dataclass(slots=True)
class PartRecord:
    """A part. `dead`: steps whose results were made up when it was given up; a reopened part loses those."""

    spec: PartSpec
    state: PartState = PartState.WAITING
    epoch: int = 0
    attempt: int = 0
    owner: str = ""
    lease_ms: int = 0
    tokens: int = 0
    dead: tuple[int, ...] = ()

    @property
    def steps(self) -> range:
        """Its steps."""
        return range(self.spec.first, self.spec.first + self.spec.count)

    def leave(self, state: PartState) -> None:
        """Its attempt is over; the epoch stays, so that whoever has it is told."""
        self.state, self.owner, self.lease_ms, self.tokens = state, "", 0, 0


@dataclass(slots=True)
class JobRecord:
    """A job. `place`: how many were created before it. `end_version`: the version with which it ended, 0 = it has not;
    `announced`: that of the end which was announced last. `left`: parts that are neither done nor dead.
    """

    new: NewJob
    place: int
    created_ms: int
    expires_ms: int
    state: JobState = JobState.ACCEPTING
    version: int = 1
    end_version: int = 0
    announced: int = 0
    told: bool = False
    reopened: bool = False
    started_ms: int = 0
    ended_ms: int = 0
    cancelled_ms: int = 0
    succeeded: int = 0
    failed: int = 0
    attempts: int = 0
    reserved: int = 0
    usage: Usage = field(default_factory=Usage)
    error: JobError | None = None
    webhook: Webhook | None = None
    batch: Batch | None = None
    parts: dict[int, PartRecord] = field(default_factory=dict)
    requests: dict[int, Request] = field(default_factory=dict)
    results: dict[int, StepResult] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self.state in ENDED

    @property
    def has_file(self) -> bool:
        """Whether its parts come out of a file."""
        return not self.new.parts

    @property
    def left(self) -> int:
        """Parts that are neither done nor dead."""
        return sum(part.state in (PartState.WAITING, PartState.RUNNING) for part in self.parts.values())

    @property
    def dead(self) -> int:
        """Parts that are dead."""
        return sum(part.state is PartState.DEAD for part in self.parts.values())

    def add(self, specs: Iterable[PartSpec]) -> int:
        """Adds the parts that it lacks; how many. A part is added when all before it are there."""
        had = len(self.parts)
        for spec in specs:
            if spec.number == len(self.parts):
                self.parts[spec.number] = PartRecord(spec)
        return len(self.parts) - had

    def keep(self, result: StepResult) -> None:
        """Keeps the first result of a step, and counts it."""
        self.results[result.step] = result
        self._count(result, 1)

    def drop(self, step: int) -> None:
        """Forgets the result of a step as if there had been none."""
        self._count(self.results.pop(step), -1)

    def _count(self, result: StepResult, sign: int) -> None:
        if result.succeeded:
            self.succeeded += sign
        else:
            self.failed += sign
        have, more = self.usage, result.usage
        self.usage = Usage(
            have.prompt_tokens + sign * more.prompt_tokens,
            have.cached_tokens + sign * more.cached_tokens,
            have.completion_tokens + sign * more.completion_tokens,
            have.cost + sign * more.cost,
        )

    def end(self, state: JobState, now: int) -> None:
        """Ends it."""
        self.state, self.ended_ms, self.told = state, now, False
        self.version += 1
        self.end_version = self.version

    def end_if_done(self, now: int) -> None:
        """Ends it where no part is left."""
        if self.left == 0:
            self.end(JobState.FAILED if self.failed or self.dead else JobState.SUCCEEDED, now)

    def reopen(self, part: PartRecord, now: int) -> None:
        """A dead part waits again, and with it the job, which gets as much time as it had where that is over."""
        for step in part.dead:
            self.drop(step)
        part.leave(PartState.WAITING)
        part.attempt, part.dead = 0, ()
        if not self.ended:
            return
        if now >= self.expires_ms:
            self.expires_ms = now + self.new.expires_seconds * 1000
        self.state, self.ended_ms, self.end_version, self.told, self.reopened = JobState.RUNNING, 0, 0, False, True
        if self.webhook is not None:
            self.webhook = replace(self.webhook, state="pending", attempts=0, status=0)
        if self.batch is not None:
            self.batch = replace(self.batch, output_file_id="", error_file_id="", told_ms=0)

    def job(self) -> Job:
        """As it is told of."""
        return Job(
            id=self.new.id,
            caller=self.new.caller,
            state=self.state,
            created_ms=self.created_ms,
            expires_ms=self.expires_ms,
            fingerprint=self.new.fingerprint,
            total=sum(part.spec.count for part in self.parts.values()),
            parts=len(self.parts),
            started_ms=self.started_ms,
            ended_ms=self.ended_ms,
            succeeded=self.succeeded,
            failed=self.failed,
            attempts=self.attempts,
            running_tokens=0 if self.ended else sum(part.tokens for part in self.parts.values()),
            usage=self.usage,
            reserved=self.reserved,
            priority=self.new.priority,
            metadata=self.new.metadata,
            error=self.error,
            webhook=self.webhook,
            batch=self.batch,
            cancelled_ms=self.cancelled_ms,
            told=self.told,
            reopened=self.reopened,
            version=self.version,
        )


def follow(had: int, specs: Iterable[PartSpec]) -> bool:
    """Whether no part is missing before any of these, where `had` are there."""
    for spec in specs:
        if spec.number > had:
            return False
        had = max(had, spec.number + 1)
    return True
