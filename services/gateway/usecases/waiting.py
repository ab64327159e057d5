"""Where calls wait while every worker of their model pushes back: one fair queue per model that has waiters.

A turn means "try again". Turns are given one by one: when a running call of the model ends here, when the time that
the last refusal named is over, and when the one who had a turn got its first delta, so that as many leave as the
workers take. Who is refused again goes back to its old place. Nobody overtakes: later calls of a model that has a queue
join it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.gateway.domain.fair_queue import FairQueue, QueueBounds, Waiter
from services.gateway.domain.record import CallRecord
from services.gateway.ports.waiting import WaitObserver
from services.gateway.usecases.deadline import Deadline

# A pause is stretched by up to so much, so that gateways do not all come back at once.
JITTER = 0.25
# Share of the last wait in the mean that tells others when to come back.
RECENT = 0.2
RETRY_AFTER_SECONDS_MIN = 1.0
# Turns that one tick gives at most.
BURST_MAX = 64


@dataclass(frozen=True, slots=True)
class WaitLimits:
    """How long a call may wait, and how soon a refused one tries again when its worker names no time. 0 = no queue."""

    wait_seconds_max: float = 30.0
    retry_seconds: float = 0.5
    bounds: QueueBounds = field(default_factory=QueueBounds)


@dataclass(slots=True)
class QueuedCall:
    """A call as its queue sees it."""

    request_id: str
    model: str
    tenant: str
    priority: int
    deadline: Deadline


@dataclass(eq=False, slots=True)
class _Line:
    """The queue of one model. `burst`: turns at the next tick, doubled while nobody is refused."""

    model: str
    queue: FairQueue
    not_before: float
    mean_wait: float
    burst: int = 1
    turns: dict[Waiter, tuple[str, asyncio.Future[None]]] = field(default_factory=dict)
    ticker: asyncio.Task[None] | None = None


class WaitingRoom:
    """All queues of the process. Used on the event loop only; an `Observer` of calls that end."""

    def __init__(
        self,
        clock: Clock,
        limits: WaitLimits,
        observer: WaitObserver | None = None,
        *,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        """`uniform` gives numbers from 0 to 1, for the jitter."""
        self._clock = clock
        self._limits = limits
        self._observer = observer
        self._uniform = uniform
        self._lines: dict[str, _Line] = {}
        self._trying: dict[str, tuple[_Line, Waiter]] = {}

    def __len__(self) -> int:
        """Calls that wait for their turn."""
        return sum(line.queue.waiting for line in self._lines.values())

    def has_queue(self, model: str) -> bool:
        """Whether a call of this model has to queue up before it may try."""
        return model in self._lines

    async def wait(self, call: QueuedCall, refusal: PlatformError | None) -> float:
        """Waits for a turn and returns the seconds it took. `refusal` is why it waits, None = others are before it.

        Whoever has a turn says `served`, or comes back here, or its call ends (`ended`). Raises OVERLOADED when the
        queue is full or the time to wait is used up, DEADLINE_EXCEEDED when there is none.
        """
        now = self._clock.monotonic()
        back = self._back(call, refusal)
        if back is None and refusal is None and call.request_id in self._trying:
            return 0.0
        line, waiter = back or self._join(call, refusal, now)
        if refusal is not None:
            self._pause(line, refusal, now)
        try:
            await self._turn(line, waiter, call.request_id, now)
        except TimeoutError:
            self._leave(line, waiter, call.request_id)
            raise self._refusal(line, "late", self._clock.monotonic() - waiter.arrived_at) from None
        except asyncio.CancelledError:
            self._leave(line, waiter, call.request_id)
            self._tell("gone", waiter)
            raise
        return self._clock.monotonic() - now

    def served(self, request_id: str) -> None:
        """The call that had a turn is being answered: there may be room for another one."""
        self._over(request_id, "served")

    def ended(self, record: CallRecord) -> None:
        """See ports.Observer: a call that ran has left its place to another."""
        if not self._lines:
            return
        self._over(record.request_id, "gone")
        line = self._lines.get(record.model)
        if line is not None and record.first_delta_at:
            self._grant(line)

    def _back(self, call: QueuedCall, refusal: PlatformError | None) -> tuple[_Line, Waiter] | None:
        """The place of a call that has been refused in its turn; a turn at another model is given up."""
        had = self._trying.get(call.request_id)
        if had is None:
            return None
        line, waiter = had
        if line.model != call.model:
            self._over(call.request_id, "gone")
            return None
        if refusal is None:
            return None
        del self._trying[call.request_id]
        line.burst = 1
        line.queue.restore(waiter)
        return had

    def _join(self, call: QueuedCall, refusal: PlatformError | None, now: float) -> tuple[_Line, Waiter]:
        longest = self._limits.wait_seconds_max
        if refusal is not None and (longest <= 0 or (refusal.retry_after_seconds or 0.0) > longest):
            raise refusal
        waiter = Waiter(call.tenant, call.priority, now, now + call.deadline.left(longest))
        line = self._lines.get(call.model)
        if line is None:
            retry = self._limits.retry_seconds
            line = _Line(call.model, FairQueue(self._limits.bounds), now + retry, retry)
        if not line.queue.push(waiter):
            raise self._refusal(line, "full", 0.0)
        if line.ticker is None:
            self._lines[call.model] = line
            line.ticker = asyncio.get_running_loop().create_task(self._tick(line), name="queue-ticker")
        return line, waiter

    async def _turn(self, line: _Line, waiter: Waiter, request_id: str, now: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.turns[waiter] = (request_id, turn)
        async with asyncio.timeout(max(0.0, waiter.deadline - now)):
            await turn

    def _grant(self, line: _Line) -> None:
        """Gives the next one its turn."""
        waiter = line.queue.pop(self._clock.monotonic())
        if waiter is None:
            return
        request_id, turn = line.turns.pop(waiter)
        self._trying[request_id] = (line, waiter)
        if not turn.done():
            turn.set_result(None)

    def _over(self, request_id: str, outcome: str) -> None:
        had = self._trying.pop(request_id, None)
        if had is None:
            return
        line, waiter = had
        if outcome == "served":
            line.mean_wait += RECENT * (self._clock.monotonic() - waiter.arrived_at - line.mean_wait)
        self._tell(outcome, waiter)
        line.queue.leave(waiter)
        self._grant(line)
        self._close_if_empty(line)

    def _leave(self, line: _Line, waiter: Waiter, request_id: str) -> None:
        """Takes a waiter out; a turn that it was given and cannot use goes to the next."""
        unused = line.turns.pop(waiter, None) is None
        if unused:
            self._trying.pop(request_id, None)
        line.queue.leave(waiter)
        if unused:
            self._grant(line)
        self._close_if_empty(line)

    def _close_if_empty(self, line: _Line) -> None:
        if len(line.queue) or line.ticker is None:
            return
        line.ticker.cancel()
        line.ticker = None
        del self._lines[line.model]

    def _pause(self, line: _Line, refusal: PlatformError, now: float) -> None:
        pause = refusal.retry_after_seconds
        pause = self._limits.retry_seconds if pause is None else pause
        line.not_before = max(line.not_before, now + self._stretched(pause))

    def _stretched(self, seconds: float) -> float:
        return seconds * (1.0 + JITTER * self._uniform())

    async def _tick(self, line: _Line) -> None:
        """Gives turns by time alone, for as long as the queue lives."""
        while True:
            while (left := line.not_before - self._clock.monotonic()) > 0:
                await self._clock.sleep(left)
            line.not_before = self._clock.monotonic() + self._stretched(self._limits.retry_seconds)
            for _ in range(min(line.burst, line.queue.waiting)):
                self._grant(line)
            line.burst = min(2 * line.burst, BURST_MAX)

    def _refusal(self, line: _Line, why: str, waited: float) -> PlatformError:
        others = line.queue.waiting
        after = min(max(line.mean_wait, RETRY_AFTER_SECONDS_MIN), self._limits.wait_seconds_max)
        if self._observer is not None:
            self._observer.refused(why)
            self._observer.waited("refused", waited)
        story = f"The call waited {waited:.1f} s in the queue, where {others} others wait"
        if why == "full":
            story = f"No more of yours may wait for it; {others} calls are in the queue"
        message = f"All workers of model '{line.model}' are busy. {story}. Try again in {after:.0f} s."
        return PlatformError(Reason.OVERLOADED, message, retry_after_seconds=after, started=False)

    def _tell(self, outcome: str, waiter: Waiter) -> None:
        if self._observer is not None:
            self._observer.waited(outcome, self._clock.monotonic() - waiter.arrived_at)
