"""What an attempt may change, and when it is too late: the fence. Part of the model, see machine.py."""

from __future__ import annotations

from services.jobs.domain.attempt import BeginAsk, Begun, Effect, Renewal, Return, Verdict
from services.jobs.domain.job import JobState, PartState
from services.jobs.domain.record import JobRecord, PartRecord


def begin(record: JobRecord, part: PartRecord, ask: BeginAsk, now: int) -> Begun:
    """Begins an attempt, which fences off all earlier ones, or says why there is nothing to do.

    A part that is dead, or was begun too often, is POISON: with an epoch, so that it can be given up under it.
    """
    if part.state is PartState.DONE:
        return Begun(Verdict.REPEATED)
    dead = part.state is PartState.DEAD
    if record.ended and not (dead and record.state is JobState.FAILED):
        return Begun(Verdict.ENDED)
    if dead and not ask.replayed:
        return _begun(Verdict.POISON, record, part)
    if dead:
        record.reopen(part, now)
    if part.state is PartState.RUNNING and part.owner == ask.owner:
        # The same ask once more, whose reply was lost: nobody has died of the part meanwhile.
        part.attempt -= 1
        record.attempts -= 1
    poison = part.attempt >= ask.attempts_max
    part.state, part.owner, part.lease_ms, part.tokens = PartState.RUNNING, ask.owner, now + ask.lease_ms, 0
    part.epoch += 1
    record.version += 1
    if not poison:
        part.attempt += 1
        record.attempts += 1
        record.started_ms = record.started_ms or now
        record.state = JobState.RUNNING
    return _begun(Verdict.POISON if poison else Verdict.APPLIED, record, part)


def _begun(verdict: Verdict, record: JobRecord, part: PartRecord) -> Begun:
    have = frozenset(step for step in part.steps if step in record.results)
    return Begun(verdict, part.epoch, part.attempt, record.job(), part.spec, have)


def _too_late(record: JobRecord, part: PartRecord, epoch: int, repeated: PartState | None) -> Verdict | None:
    """Why an attempt may change nothing (any more); None = it may. `repeated` is what the same ask had made of it."""
    if epoch != part.epoch:
        return Verdict.STALE
    if part.state is repeated:
        return Verdict.REPEATED
    if record.ended:
        return Verdict.ENDED
    return None if part.state is PartState.RUNNING else Verdict.STALE


def renew(record: JobRecord, part: PartRecord, renewal: Renewal, now: int) -> Verdict:
    """An attempt lives on."""
    late = _too_late(record, part, renewal.epoch, None)
    if late is not None:
        return late
    part.lease_ms = now + renewal.lease_ms
    if part.tokens != renewal.tokens:
        part.tokens = renewal.tokens
        record.version += 1
    return Verdict.APPLIED


def apply(record: JobRecord, part: PartRecord, effect: Effect, now: int) -> Verdict:
    """Keeps the results of steps that have none, and ends what is complete with them."""
    late = _too_late(record, part, effect.epoch, PartState.DONE)
    if late is not None:
        return late
    kept = 0
    for result in effect.results:
        if result.step in part.steps and result.step not in record.results:
            record.keep(result)
            kept += 1
    if not kept:
        return Verdict.REPEATED
    record.version += 1
    if all(step in record.results for step in part.steps):
        part.leave(PartState.DONE)
        record.end_if_done(now)
    return Verdict.APPLIED


def put_back(record: JobRecord, part: PartRecord, ask: Return, now: int) -> Verdict:
    """The part waits again, or is dead."""
    late = _too_late(record, part, ask.epoch, PartState.DEAD if ask.dead else PartState.WAITING)
    if late is not None:
        return late
    record.version += 1
    if not ask.dead:
        # Given back in order: only attempts that died without a word count against it.
        part.attempt = max(part.attempt - 1, 0)
        part.leave(PartState.WAITING)
        return Verdict.APPLIED
    for result in ask.results:
        if result.step in part.steps and result.step not in record.results:
            record.keep(result)
            part.dead = (*part.dead, result.step)
    part.leave(PartState.DEAD)
    record.end_if_done(now)
    return Verdict.APPLIED
