"""What consumers ask of a part, and what the store says: every change carries the epoch of its attempt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.jobs.domain.job import Job, PartSpec, StepResult


@dataclass(frozen=True, slots=True)
class PartKey:
    """Which part of which job; its tenant is known beside it."""

    job: str
    part: int


class Verdict(StrEnum):
    """Of a change of a part.

    `APPLIED`. `REPEATED`: it had happened already. `STALE`: a later attempt has begun, nothing was changed. `ENDED`:
    the job has ended (cancelled, expired, …), nothing was changed. `UNKNOWN`: there is no such job or part. `POISON`
    (begin only): it was begun too often, attempts that gave it back not counted.
    """

    APPLIED = "applied"
    REPEATED = "repeated"
    STALE = "stale"
    ENDED = "ended"
    UNKNOWN = "unknown"
    POISON = "poison"


@dataclass(frozen=True, slots=True)
class BeginAsk:
    """An attempt is about to begin. `owner` names it: asked again under the same name, because the reply was lost, it
    counts once. `replayed`: it comes out of the dead letters, which reopens a dead part and counts its attempts anew.
    """

    key: PartKey
    owner: str
    lease_ms: int
    attempts_max: int
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """`APPLIED`: attempt `epoch` may run all of `part` but the steps that `have` results. `REPEATED`: the part is done.

    Beginning takes the part over from whoever has it: an attempt is never refused because another one seems to live.
    """

    verdict: Verdict
    epoch: int = 0
    attempt: int = 0
    job: Job | None = None
    part: PartSpec | None = None
    have: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Renewal:
    """An attempt lives on; `tokens` of answers that it is making. Told back: APPLIED, STALE or ENDED."""

    key: PartKey
    epoch: int
    lease_ms: int
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Effect:
    """Results of an attempt, applied together. A step has one result for ever: that of a later attempt is REPEATED.

    The last missing step of a part makes it done, that of a job ends it.
    """

    key: PartKey
    epoch: int
    results: tuple[StepResult, ...]


@dataclass(frozen=True, slots=True)
class Return:
    """An attempt gives its part back. `dead`: for good; then each step without a result gets `results`' for it."""

    key: PartKey
    epoch: int
    dead: bool = False
    results: tuple[StepResult, ...] = ()
