"""Runs a part: its missing steps through a gateway, as far as there is room, and each result into the store.

Nothing here is needed to know what happened: a step's key makes its answer one, however often it is asked for, and the
epoch makes the effects of a part those of its latest attempt.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.kafka.handling import PoisonError, RetryLaterError
from libs.telemetry import get_logger
from services.jobs.domain.attempt import Begun, PartKey, Verdict
from services.jobs.domain.job import Job, PartSpec, Request, StepResult
from services.jobs.ports.observing import AttemptObserver
from services.jobs.ports.running import BatchFiles
from services.jobs.ports.store import Jobs
from services.jobs.usecases.attempts import Attempt, AttemptDesk
from services.jobs.usecases.failures import body_of
from services.jobs.usecases.patience import patiently
from services.jobs.usecases.steps import Outcome, Steps

_log = get_logger("jobs.runner")


@dataclass(frozen=True, slots=True)
class RunnerLimits:
    """`steps_max` as of AttemptSettings, `held_seconds` as of GateSettings."""

    steps_max: int = 16
    held_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class RunnerMeans:
    """What running takes."""

    desk: AttemptDesk
    steps: Steps
    jobs: Jobs
    files: BatchFiles


@dataclass(eq=False, slots=True)
class _Work:
    """What is left of a part. `outcome` other than DONE ends its lanes: no further step is begun."""

    requests: deque[Request]
    outcome: Outcome = Outcome.DONE
    trouble: str = ""


@dataclass(eq=False, slots=True)
class Runner:
    """Runs parts; one object for all of the process."""

    means: RunnerMeans
    clock: Clock
    limits: RunnerLimits
    observer: AttemptObserver
    uniform: Callable[[], float] = random.random
    # Parts that run here: True when one came to an end of any kind, False when it was broken off.
    _here: dict[tuple[str, PartKey], asyncio.Future[bool]] = field(default_factory=dict)

    async def run(self, tenant: str, key: PartKey, *, replayed: bool = False) -> None:
        """Returns when there is nothing left to do for the part's message: it is done, was given back to the agenda, is
        somebody else's, or its job has ended. Raises RetryLaterError when it waits for its message in a retry topic,
        PoisonError when it is dead.

        A part that runs here already is not begun again: its message is a repeat, and waits for that end.
        """
        place = (tenant, key)
        while (running := self._here.get(place)) is not None:
            if await asyncio.shield(running) and not replayed:
                return
        mine = self._here[place] = asyncio.get_running_loop().create_future()
        orderly = False
        try:
            await self._begin(tenant, key, replayed=replayed)
            orderly = True
        except (RetryLaterError, PoisonError):
            orderly = True
            raise
        finally:
            del self._here[place]
            mine.set_result(orderly)

    async def _begin(self, tenant: str, key: PartKey, *, replayed: bool) -> None:
        begun = await self.means.desk.begin(tenant, key, replayed=replayed)
        if begun.job is None or begun.part is None or begun.verdict not in (Verdict.APPLIED, Verdict.POISON):
            return
        attempt = Attempt(tenant, key, begun.epoch, begun.job, begun.part)
        if begun.verdict is Verdict.POISON:
            await self._bury(attempt, begun)
        else:
            await self._run(attempt, begun)

    async def _run(self, attempt: Attempt, begun: Begun) -> None:
        async with self.means.desk.open(attempt):
            try:
                requests = await self._requests(attempt.job, attempt.part)
            except PlatformError as error:
                await self._unread(attempt, begun, error)
                return
            work = _Work(deque(each for each in requests if each.step not in begun.have))
            await self._lanes(attempt, work)
            if attempt.over is not None:
                await self._break_off(attempt)
            elif work.outcome is Outcome.HELD:
                await self.means.desk.put_back(attempt, again_seconds=self.limits.held_seconds)
            elif work.outcome is Outcome.TROUBLE:
                await self._return(attempt, work.trouble)

    async def _unread(self, attempt: Attempt, begun: Begun, error: PlatformError) -> None:
        """Its requests could not be read."""
        if error.reason is not Reason.NOT_FOUND:
            await self._return(attempt, f"{error.reason}: {error.message}")
            return
        # Its file was deleted, or its time was over: nothing will ever be read of it.
        await self.means.desk.apply(attempt, _failed(_nameless(attempt), begun, error))

    async def _requests(self, job: Job, part: PartSpec) -> Sequence[Request]:
        tenant = job.caller.tenant
        if part.slice is None:
            key = PartKey(job.id, part.number)
            return await patiently(lambda: self.means.jobs.requests(tenant, key), self.clock, self.uniform)
        return await patiently(lambda: self.means.files.requests_of(job, part), self.clock, self.uniform)

    async def _lanes(self, attempt: Attempt, work: _Work) -> None:
        """Runs the steps, several at once, until all have ended or the attempt must stop, which it does at once."""
        count = min(self.limits.steps_max, len(work.requests))
        lanes = {asyncio.create_task(self._lane(attempt, work), name="steps of a part") for _ in range(count)}
        stopped = asyncio.create_task(attempt.stopped.wait(), name="stop of a part")
        try:
            left = set(lanes)
            while left and not stopped.done():
                done, _ = await asyncio.wait({stopped, *left}, return_when=asyncio.FIRST_COMPLETED)
                for lane in done - {stopped}:
                    lane.result()
                left -= done
        finally:
            for task in (stopped, *lanes):
                task.cancel()
            await asyncio.gather(stopped, *lanes, return_exceptions=True)

    async def _lane(self, attempt: Attempt, work: _Work) -> None:
        while work.requests and work.outcome is Outcome.DONE:
            outcome, trouble = await self.means.steps.do(attempt, work.requests.popleft())
            if outcome is not Outcome.DONE:
                work.outcome, work.trouble = max(work.outcome, outcome), trouble or work.trouble

    async def _break_off(self, attempt: Attempt) -> None:
        """A job that has ended wants no answers; of an attempt that was fenced off, the later one has them."""
        if attempt.over is Verdict.ENDED:
            await self.means.steps.abandon(attempt)

    async def _return(self, attempt: Attempt, trouble: str) -> None:
        verdict = await self.means.desk.put_back(attempt)
        if verdict in (Verdict.APPLIED, Verdict.REPEATED):
            self.observer.step("given_back")
            # The job's own time is kept by the agenda: its message may wait for as long as it takes.
            raise RetryLaterError(f"part {attempt.key.part} of {attempt.key.job}: {trouble}", lasting=True)

    async def _bury(self, attempt: Attempt, begun: Begun) -> None:
        """Too many attempts have died of this part. Its missing steps fail; its message becomes a dead letter."""
        cause = (
            f"part {attempt.key.part} of {attempt.key.job} was begun {begun.attempt} times, and each attempt died "
            "without a word: it may be what kills its consumers"
        )
        message = "Running this request was given up after too many attempts that were cut off. Submit it again."
        try:
            requests = await self._requests(attempt.job, attempt.part)
        except PlatformError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise
            requests = _nameless(attempt)
        failed = _failed(requests, begun, PlatformError(Reason.INTERNAL, message))
        verdict = await self.means.desk.put_back(attempt, dead=failed)
        if verdict in (Verdict.APPLIED, Verdict.REPEATED):
            _log.error("a part is dead", job=attempt.key.job, part=attempt.key.part, attempts=begun.attempt)
            raise PoisonError(cause)


def _nameless(attempt: Attempt) -> Sequence[Request]:
    """A part's requests where nobody can say any more what they were."""
    part = attempt.part
    return [Request(step, "", b"", "") for step in range(part.first, part.first + part.count)]


def _failed(requests: Sequence[Request], begun: Begun, error: PlatformError) -> list[StepResult]:
    """The error as the result of each request that has none."""
    body = body_of(error)
    missing = [each for each in requests if each.step not in begun.have]
    return [StepResult(each.step, each.custom_id, error.http_status, body=body) for each in missing]
