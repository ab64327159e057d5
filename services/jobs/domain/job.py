"""A job and its pieces, as every part of the service sees them. Times are milliseconds since the epoch.

A job has requests, called steps, numbered from 0. A part is a run of steps that one consumer does in one go: the unit
of a message, of an attempt and of the fence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class JobState(StrEnum):
    """`ACCEPTING`: stored, not reserved yet. The last four are ends."""

    ACCEPTING = "accepting"
    REQUESTED = "requested"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})


class PartState(StrEnum):
    """`DEAD`: given up after too many attempts; its message is in the dead-letter topic, and its replay reopens it."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who submitted a job. A job is seen by callers of the same tenant with the same key or the same user, and by who
    manages the tenant.
    """

    tenant: str
    key_id: str
    user: str = ""
    manages_tenant: bool = False

    def may_see(self, owner: Caller) -> bool:
        """Whether a job of `owner` exists for this caller."""
        if self.tenant != owner.tenant:
            return False
        return self.manages_tenant or self.key_id == owner.key_id or bool(self.user and self.user == owner.user)


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Lines of an input file: `length` bytes from byte `start` on, the first of them line `line` (from 1)."""

    file_id: str
    start: int
    length: int
    line: int


@dataclass(frozen=True, slots=True)
class Request:
    """One step. `work` is headrace.gateway.v1.Work, encoded; `model` is what the gate asks capacity for.

    A large work stands in the blob `blob` instead, and `work` is empty then; it is there before the job is confirmed.
    """

    step: int
    custom_id: str
    work: bytes
    model: str
    blob: str = ""


@dataclass(frozen=True, slots=True)
class PartSpec:
    """A part as it is stored. Its requests stand in the store, or, with `slice`, in the job's file."""

    number: int
    first: int
    count: int
    reservation: str
    models: tuple[str, ...] = ()
    slice: FileSlice | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over the steps that have ended. Cost in nano-dollars: what the owner has paid."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0


@dataclass(frozen=True, slots=True)
class LineError:
    """What is wrong with a line of an input file (0 = with all of it), in OpenAI's words; `param` is the field."""

    code: str
    message: str
    line: int = 0
    param: str = ""


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job as a whole failed; `reason` is a libs.errors.Reason, `line` of the input file, 0 = none.

    `lines`: the first of what is wrong with the input file.
    """

    reason: str
    message: str
    line: int = 0
    lines: tuple[LineError, ...] = ()


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where its end is told. `state`: "pending", "delivered", "failed"; `status` is the last attempt's, 0 = none."""

    url: str
    secret: str
    state: str = "pending"
    attempts: int = 0
    status: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What only a batch has: its files. The output files are there once the end has been told."""

    input_file_id: str
    endpoint: str
    output_file_id: str = ""
    error_file_id: str = ""
    told_ms: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is told of. `version` grows with every change; `fingerprint` is a digest of what was submitted.

    `told`: its end has left (reservations released, files written, event published) for this version of the end.
    `reopened`: it had ended before, so its reservations may have been released.
    """

    id: str
    caller: Caller
    state: JobState
    created_ms: int
    expires_ms: int
    fingerprint: str
    total: int = 0
    parts: int = 0
    started_ms: int = 0
    ended_ms: int = 0
    succeeded: int = 0
    failed: int = 0
    attempts: int = 0
    running_tokens: int = 0
    usage: Usage = field(default_factory=Usage)
    reserved: int = 0
    priority: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    error: JobError | None = None
    webhook: Webhook | None = None
    batch: Batch | None = None
    cancelled_ms: int = 0
    told: bool = False
    reopened: bool = False
    version: int = 0


@dataclass(frozen=True, slots=True)
class NewJob:
    """What `create` stores. Without parts it has a file that is cut into parts later (`add_parts`)."""

    id: str
    caller: Caller
    fingerprint: str
    expires_seconds: int
    priority: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    webhook: Webhook | None = None
    batch: Batch | None = None
    parts: tuple[PartSpec, ...] = ()
    requests: tuple[Request, ...] = ()


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of a step: an HTTP status, and OpenAI's body or the name of the blob that holds it."""

    step: int
    custom_id: str
    status_code: int
    request_id: str = ""
    body: bytes = b""
    blob: str = ""
    usage: Usage = field(default_factory=Usage)

    @property
    def succeeded(self) -> bool:
        """Whether it is an answer."""
        return 200 <= self.status_code < 300
