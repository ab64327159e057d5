"""One job, its consumers and its sweeper as a small world, whose every move can be tried in every state.

A message may be delivered at any time, to anyone, any number of times: that is duplicates, reordering and replay at
once. A consumer may die between any two moves, or go on as a zombie after its part was taken over.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field, replace

from services.jobs.domain.agenda import Task
from services.jobs.domain.attempt import BeginAsk, Effect, PartKey, Renewal, Return, Verdict
from services.jobs.domain.entries import owed
from services.jobs.domain.job import (
    Caller,
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
from services.jobs.domain.machine import JobBooks, TenantJobs

JOB = "job_1"
# Time stands still: what is on the agenda may be claimed at any moment.
NOW = 1_000_000
COST = 5
TAKEN = (Verdict.APPLIED, Verdict.POISON)


class BrokenError(AssertionError):
    """A move led to what must never be."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a consumer has in its memory: an attempt, the steps it takes for done, and an answer not yet applied."""

    part: int
    epoch: int
    known: frozenset[int]
    holds: StepResult | None = None
    poison: bool = False


@dataclass(slots=True)
class World:
    """`effects`: by version of an end, how often it was announced; `telling`: the version that the sweeper tells."""

    books: JobBooks
    consumers: tuple[Work | None, ...]
    events: frozenset[int] = frozenset()
    telling: int = 0
    effects: dict[int, int] = field(default_factory=dict)
    attempts_max: int = 2

    @property
    def jobs(self) -> TenantJobs:
        """The model over what is kept."""
        return TenantJobs(self.books)

    @property
    def record(self):
        """The job's record."""
        return self.books.jobs[JOB]

    def copy(self) -> World:
        """Another world that goes its own way."""
        mine = copy(self.record)
        mine.parts = {number: copy(part) for number, part in mine.parts.items()}
        mine.results = dict(mine.results)
        books = JobBooks({JOB: mine}, {JOB: dict(self.books.agenda[JOB])}, 1)
        return World(books, self.consumers, self.events, self.telling, dict(self.effects), self.attempts_max)

    def durable(self):
        """What a replay must not change: all but versions, attempts and times."""
        record = self.record
        parts = tuple((part.state, part.dead) for part in record.parts.values())
        counts = record.succeeded, record.failed, record.usage, record.told
        return record.state, parts, counts, tuple(sorted(record.results.items()))

    def key(self):
        """States with the same key have the same future. Epochs and versions count only as "present" and "past"."""
        record = self.record
        parts = tuple((part.state, part.attempt, part.dead) for part in record.parts.values())
        results = tuple(sorted((step, result.status_code) for step, result in record.results.items()))
        ended = record.told, record.announced == record.end_version, record.webhook and record.webhook.state
        consumers = sorted(repr(self._seen(work)) for work in self.consumers)
        news = {self._present(version) for version in self.events}, self._present(self.telling)
        # Cancelled or expired is all the same from here on.
        state = JobState.CANCELLED if record.state is JobState.EXPIRED else record.state
        return repr((state, parts, results, ended, consumers, sorted(news[0]), news[1]))

    def _present(self, version: int) -> str:
        if not version:
            return ""
        return "present" if self.record.end_version and version >= self.record.end_version else "past"

    def _seen(self, work: Work | None):
        if work is None or work.epoch != self.record.parts[work.part].epoch:
            return work and "zombie"
        return work.part, sorted(work.known), work.holds and work.holds.step, work.poison


def begins(parts: int, steps: int, consumers: int, attempts_max: int) -> World:
    """A job that was created, and nobody at work."""
    jobs = TenantJobs()
    specs = tuple(PartSpec(number, number * steps, steps, JOB) for number in range(parts))
    requests = tuple(Request(step, "", b"", "") for step in range(parts * steps))
    hook = Webhook("https://example.org", "s" * 16)
    jobs.create(NewJob(JOB, Caller("t", "k"), "", 60, parts=specs, requests=requests, webhook=hook), NOW)
    return World(jobs.books, (None,) * consumers, attempts_max=attempts_max)


def moves(world: World) -> Iterator[tuple]:
    """Everything that may happen next."""
    for at, work in enumerate(world.consumers):
        if work is None:
            for part in world.record.parts:
                yield deliver, at, part, False
                yield deliver, at, part, True
        else:
            yield from ((move, at) for move in (crash, renew, put_back, give_up))
            yield apply if work.holds else perform, at
            if work.holds:
                yield apply_unheard, at
    yield (confirm,)
    yield (refuse,)
    yield (cancel,)
    yield (expire,)
    yield (tell if not world.telling else tell_at_last,)
    yield (sweeper_dies,)
    yield from ((announce, version) for version in sorted(world.events))
    yield hook, "pending"
    yield hook, "delivered"


def _become(world: World, at: int, work: Work | None) -> None:
    world.consumers = (*world.consumers[:at], work, *world.consumers[at + 1 :])


def _answered(world: World, at: int, verdict: Verdict, work: Work | None) -> Verdict:
    """After a refusal a consumer lets its work go."""
    _become(world, at, work if verdict in (*TAKEN, Verdict.REPEATED) else None)
    return verdict


def deliver(world: World, at: int, part: int, replayed: bool) -> Verdict:  # noqa: FBT001 -- a move's argument
    """A message, or a dead letter that comes back, is there for an idle consumer."""
    owner = f"c{at}:{world.record.parts[part].epoch}"
    (begun,) = world.jobs.begin([BeginAsk(PartKey(JOB, part), owner, 0, world.attempts_max, replayed)], NOW)
    if begun.verdict in TAKEN:
        _become(world, at, Work(part, begun.epoch, begun.have, poison=begun.verdict is Verdict.POISON))
    return begun.verdict


def perform(world: World, at: int) -> Verdict | None:
    """The gateway answers the next step that the consumer lacks. The answer says whose it is."""
    work = world.consumers[at]
    lacks = [step for step in world.record.parts[work.part].steps if step not in work.known]
    if work.poison or not lacks:
        _become(world, at, None)
        return None
    answer = StepResult(lacks[0], "", 200, f"{work.part}/{work.epoch}", usage=Usage(cost=COST))
    _become(world, at, replace(work, holds=answer))
    return None


def apply(world: World, at: int) -> Verdict:
    """What the consumer holds becomes the step's result."""
    work = world.consumers[at]
    (verdict,) = world.jobs.apply([Effect(PartKey(JOB, work.part), work.epoch, (work.holds,))], NOW)
    known = work.known | {work.holds.step}
    return _answered(world, at, verdict, replace(work, holds=None, known=known))


def apply_unheard(world: World, at: int) -> Verdict:
    """The same, and its answer is lost: the consumer asks again."""
    work = world.consumers[at]
    verdict = apply(world, at)
    _become(world, at, work)
    return verdict


def renew(world: World, at: int) -> Verdict:
    """The consumer lives on."""
    work = world.consumers[at]
    (verdict,) = world.jobs.renew([Renewal(PartKey(JOB, work.part), work.epoch, 0)], NOW)
    return _answered(world, at, verdict, work)


def put_back(world: World, at: int) -> Verdict:
    """The consumer gives its part back."""
    work = world.consumers[at]
    (verdict,) = world.jobs.put_back([Return(PartKey(JOB, work.part), work.epoch)], NOW)
    return _answered(world, at, verdict, None)


def give_up(world: World, at: int) -> Verdict:
    """The consumer gives its part up, with results for what it lacks."""
    work = world.consumers[at]
    lost = tuple(StepResult(step, "", 500, "lost") for step in world.record.parts[work.part].steps)
    (verdict,) = world.jobs.put_back([Return(PartKey(JOB, work.part), work.epoch, dead=True, results=lost)], NOW)
    return _answered(world, at, verdict, None)


def crash(world: World, at: int) -> None:
    """The consumer dies, with all that it has in memory."""
    _become(world, at, None)


def confirm(world: World) -> None:
    world.jobs.confirm(JOB, 1, NOW)


def refuse(world: World) -> None:
    """The sweeper takes an acceptance back whose process is gone, or so it seems."""
    if (Task.REFUSE, JOB, 0) in world.books.agenda[JOB]:
        world.jobs.refuse(JOB, JobError("OVERLOADED", "whoever accepted it has gone"), NOW)


def cancel(world: World) -> None:
    world.jobs.end(JOB, JobState.CANCELLED, NOW)


def expire(world: World) -> None:
    if (Task.EXPIRE, JOB, 0) in world.books.agenda[JOB]:
        world.jobs.end(JOB, JobState.EXPIRED, NOW)


def tell(world: World) -> None:
    """The sweeper reads an end and publishes it; that it did so is not in the store yet."""
    if (Task.TELL, JOB, 0) in world.books.agenda[JOB]:
        world.telling = world.record.version
        world.events |= {world.record.version}


def tell_at_last(world: World) -> Verdict:
    version, world.telling = world.telling, 0
    return world.jobs.told(JOB, version, None, NOW)


def sweeper_dies(world: World) -> None:
    world.telling = 0


def announce(world: World, version: int) -> Verdict:
    """An end comes out of the finished topic."""
    (verdict,) = world.jobs.announce([(JOB, version)], NOW)
    if verdict is Verdict.APPLIED:
        end = world.record.end_version
        world.effects[end] = world.effects.get(end, 0) + 1
    return verdict


def hook(world: World, state: str) -> None:
    if (Task.HOOK, JOB, 0) in world.books.agenda[JOB]:
        world.jobs.hooked(JOB, world.record.version, 200 if state == "delivered" else 503, state, NOW)


# What must never be


def check(before: World, move: tuple, after: World, verdict: Verdict | None) -> None:
    """Raises BrokenError where a move broke a rule."""
    old, new = before.record, after.record
    comes_back = move[0] is deliver and move[3] and verdict is Verdict.APPLIED
    reopened = comes_back and old.parts[move[2]].state is PartState.DEAD
    rules = {
        "a refused move changes nothing": lambda: verdict in (None, *TAKEN) or before.books == after.books,
        "a zombie changes nothing": lambda: not _is_zombie(before, move) or before.books == after.books,
        "an end is left only by a dead letter that comes back": (
            lambda: not old.ended or new.state is old.state or reopened
        ),
        "a result stays, unless it was made up and its part is reopened": lambda: all(
            new.results.get(step) == result or (reopened and step in old.parts[move[2]].dead)
            for step, result in old.results.items()
        ),
        "epochs and versions do not go back": lambda: (
            new.version >= old.version
            and all(new.parts[number].epoch >= part.epoch for number, part in old.parts.items())
        ),
        "an attempt has its epoch to itself": lambda: _distinct(after),
        "an end is announced once": lambda: all(times == 1 for times in after.effects.values()),
        "the counts are those of the results": lambda: _counted(after),
        "the agenda has what is owed": lambda: after.books.agenda[JOB].keys() == owed(new, NOW, 0).keys(),
        "an ended job has a result for every step, or was ended early": lambda: _complete(after),
    }
    for rule, holds in rules.items():
        if not holds():
            raise BrokenError(f"{rule}: {move[0].__name__}{move[1:]} → {verdict}, from {old} to {new}")


def _is_zombie(world: World, move: tuple) -> bool:
    """Whether the move is that of a consumer whose part was begun by somebody else since."""
    works = move[0] in (apply, apply_unheard, renew, put_back, give_up)
    work = world.consumers[move[1]] if works else None
    return work is not None and work.epoch != world.record.parts[work.part].epoch


def _distinct(world: World) -> bool:
    held = [(work.part, work.epoch) for work in world.consumers if work and not work.poison]
    return len(held) == len(set(held))


def _counted(world: World) -> bool:
    record, results = world.record, world.record.results.values()
    succeeded = sum(result.status_code == 200 for result in results)
    return (record.succeeded, record.failed, record.usage.cost) == (
        succeeded,
        len(results) - succeeded,
        COST * succeeded,
    )


def _complete(world: World) -> bool:
    record = world.record
    total = sum(len(part.steps) for part in record.parts.values())
    if record.state is JobState.SUCCEEDED:
        return record.succeeded == total
    return record.state is not JobState.FAILED or record.error is not None or len(record.results) == total


def recover(world: World) -> None:
    """All die, and Kafka has lost every message: the agenda alone must bring the job to an end that is told."""
    world.consumers = (None,) * len(world.consumers)
    world.telling = 0
    for _ in range(50):
        due = world.jobs.claim(100, 0, NOW * 10**6)
        if all(entry.task is Task.FORGET for entry in due):
            break
        for entry in due:
            _do(world, entry)
    if not (world.record.ended and world.record.told and _complete(world)):
        raise BrokenError(f"the agenda does not bring it to its end: {world.record}")


def _do(world: World, entry) -> None:
    if entry.task is Task.SEND:
        _attempt(world, entry.part)
    elif entry.task is Task.REFUSE:
        refuse(world)
    elif entry.task is Task.EXPIRE and world.record.state is JobState.ACCEPTING:
        expire(world)
    elif entry.task is Task.TELL:
        tell(world)
        tell_at_last(world)
    elif entry.task is Task.HOOK:
        hook(world, "delivered")


def _attempt(world: World, part: int) -> None:
    """A message is taken, and its attempt goes its way to the end."""
    deliver(world, 0, part, replayed=False)
    while (work := world.consumers[0]) is not None:
        (give_up if work.poison else apply if work.holds else perform)(world, 0)


def replay_all(world: World) -> None:
    """Both topics from the beginning, on one consumer."""
    world.consumers = (None,) * len(world.consumers)
    for part in world.record.parts:
        _attempt(world, part)
    for version in world.events:
        announce(world, version)
