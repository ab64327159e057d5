"""One step of a part: through the gate, through a gateway, into the store; and what is tried again, where."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from enum import IntEnum

from libs.blobs import Blobs
from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.telemetry import get_logger
from services.jobs.domain.attempt import Verdict
from services.jobs.domain.blob_names import INLINE_BYTES_MAX, result_blob
from services.jobs.domain.job import Request, StepResult
from services.jobs.ports.neighbours import Again, Gateways, Performed
from services.jobs.ports.observing import AttemptObserver
from services.jobs.usecases.attempts import Attempt, AttemptDesk
from services.jobs.usecases.failures import CROWDED, body_of, final
from services.jobs.usecases.gate import Gate, NoRoomError, Slot

# A full pool is not asked again sooner, unless the refusal names a time.
CROWDED_SECONDS = 0.25
ABANDON_SECONDS = 5.0

_log = get_logger("jobs.steps")


class Outcome(IntEnum):
    """`DONE`: it has its result, or none is wanted. `HELD`: there was no room. `TROUBLE`: it cannot be done for now."""

    DONE = 0
    HELD = 1
    TROUBLE = 2


@dataclass(frozen=True, slots=True)
class StepTimes:
    """See AttemptSettings; `held_seconds` as of GateSettings."""

    patience_seconds: float = 20.0
    retry_seconds: float = 0.25
    retry_seconds_max: float = 5.0
    held_seconds: float = 120.0


@dataclass(slots=True)
class _Tries:
    """Of one step: until when it is tried in its place after a failure, and after a refusal; the next pause."""

    pause: float
    patient_until: float = float("inf")
    held_until: float = float("inf")


@dataclass(eq=False, slots=True)
class Steps:
    """Does steps; one object for all of the process."""

    desk: AttemptDesk
    gate: Gate
    gateways: Gateways
    blobs: Blobs
    clock: Clock
    times: StepTimes
    observer: AttemptObserver
    uniform: Callable[[], float] = random.random

    async def do(self, attempt: Attempt, request: Request) -> tuple[Outcome, str]:
        """How it ended, and for TROUBLE why. Its result is in the store when it is DONE, unless the attempt is over."""
        tries = _Tries(self.times.retry_seconds)
        while attempt.over is None:
            try:
                result = await self._result(attempt, request)
            except NoRoomError:
                return Outcome.HELD, ""
            except PlatformError as error:
                if (outcome := self._judge(error, tries)) is not None:
                    return outcome, f"{error.reason}: {error.message}"
                self.observer.step("retried")
                await self._pause(error, tries)
            else:
                verdict = await self.desk.apply(attempt, [result])
                if verdict is Verdict.APPLIED:
                    self.observer.step("succeeded" if result.succeeded else "failed")
                return Outcome.DONE, ""
        return Outcome.DONE, ""

    async def abandon(self, attempt: Attempt) -> None:
        """Stops the answers that gateways make for an attempt whose job has ended. Who cannot be told makes it whole,
        and its owner pays for what nobody gets.
        """
        tenant, reservation = attempt.tenant, attempt.part.reservation
        calls = [self.gateways.abandon(tenant, reservation, _key(attempt, step)) for step in list(attempt.tokens)]
        try:
            async with asyncio.timeout(ABANDON_SECONDS):
                told = await asyncio.gather(*calls, return_exceptions=True)
        except TimeoutError:
            told = [TimeoutError("gateways did not answer")]
        for error in told:
            if isinstance(error, Exception):
                _log.warning("an answer was not stopped", job=attempt.key.job, why=str(error))
        attempt.tokens.clear()

    async def _result(self, attempt: Attempt, request: Request) -> StepResult:
        """Its result, durable if it is large. Raises NoRoomError, and PlatformError for what passes."""
        try:
            work = request.work or await self.blobs.get(request.blob)
            performed = await self._performed(attempt, request, work)
        except PlatformError as error:
            if not final(error):
                raise
            return StepResult(request.step, request.custom_id, error.http_status, body=body_of(error))
        return await self._kept(attempt, request, performed)

    async def _performed(self, attempt: Attempt, request: Request, work: bytes) -> Performed:
        async with self.gate.room(request.model, attempt.tenant, attempt.job.priority) as slot:
            try:
                return await self._asked(attempt, request, work, slot)
            except PlatformError as error:
                if error.reason in CROWDED:  # nothing was begun there
                    attempt.tokens.pop(request.step, None)
                    slot.refused(error.retry_after_seconds or CROWDED_SECONDS)
                raise

    async def _asked(self, attempt: Attempt, request: Request, work: bytes, slot: Slot) -> Performed:
        left = attempt.job.expires_ms / 1000 - self.clock.unix()
        if left <= 0:
            raise PlatformError(Reason.DEADLINE_EXCEEDED, "the job's time is over", started=False)
        job, reservation, key = attempt.job, attempt.part.reservation, _key(attempt, request.step)
        attempt.tokens[request.step] = 0
        again = Again(job.caller, batch=job.batch is not None) if job.reopened else None
        news = self.gateways.perform(attempt.tenant, reservation, work, key, timeout=left, again=again)
        async with aclosing(news):
            async for each in news:
                if each.status_code:
                    slot.answered = True
                    attempt.tokens.pop(request.step, None)
                    return each
                attempt.tokens[request.step] = each.tokens
        raise PlatformError(Reason.STREAM_INTERRUPTED, "a gateway ended a call without its outcome")

    async def _kept(self, attempt: Attempt, request: Request, performed: Performed) -> StepResult:
        """Large bodies are durable before the store hears of them."""
        body, blob = performed.body, ""
        if len(body) > INLINE_BYTES_MAX:
            blob = result_blob(attempt.tenant, attempt.key.job, request.step, attempt.epoch)
            await self.blobs.put(blob, body)
            body = b""
        return StepResult(
            request.step,
            request.custom_id,
            performed.status_code,
            performed.request_id,
            body,
            blob,
            performed.usage,
        )

    def _judge(self, error: PlatformError, tries: _Tries) -> Outcome | None:
        """None = it is tried again in its place."""
        now = self.clock.monotonic()
        if error.reason in CROWDED:
            tries.held_until = min(tries.held_until, now + self.times.held_seconds)
            return None if now < tries.held_until else Outcome.HELD
        tries.patient_until = min(tries.patient_until, now + self.times.patience_seconds)
        return None if now < tries.patient_until else Outcome.TROUBLE

    async def _pause(self, error: PlatformError, tries: _Tries) -> None:
        """Spread, so that what failed together does not come back together. The gate keeps a crowded pool's pause."""
        if error.reason not in CROWDED:
            await self.clock.sleep(max(tries.pause, error.retry_after_seconds or 0.0) * (0.5 + self.uniform()))
            tries.pause = min(2 * tries.pause, self.times.retry_seconds_max)


def _key(attempt: Attempt, step: int) -> str:
    """The same on every attempt: whoever asks again gets the first one's answer."""
    return f"{attempt.key.job}/{step}"
