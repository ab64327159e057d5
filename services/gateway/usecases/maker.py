"""Makes one answer under an idempotency key: a task of its own, which no client's going away ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.telemetry import get_logger
from services.gateway.domain.attempts import PASSING
from services.gateway.domain.idempotency import Claimed, Kept, Keyed, State, abandoned, taken_over
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.events import Ended, Event
from services.gateway.ports.answers import Answers
from services.gateway.usecases.answer_log import Feed, LogTimes, LogWriter
from services.gateway.usecases.call import Held
from services.gateway.usecases.logged_events import failed
from services.gateway.usecases.taken_up import TakenUp, taken_up

_log = get_logger("gateway.idempotent")
LOOK_SECONDS = 0.05


class Chat(Protocol):
    """The pipeline of ordinary calls."""

    def chat(
        self,
        request: ChatRequest,
        principal: Principal,
        *,
        request_id: str,
        deadline: float,
        held: Held | None = None,
        part: TakenUp | None = None,
        lost: Callable[[], bool] | None = None,
    ) -> AsyncGenerator[list[Event], None]:
        """See ChatPipeline."""
        ...


@dataclass(frozen=True, slots=True)
class KeyedCall:
    """One call with a key. `deadline` is `Clock.monotonic` seconds."""

    keyed: Keyed
    request: ChatRequest
    principal: Principal
    request_id: str
    deadline: float
    held: Held | None = None


@dataclass(frozen=True, slots=True)
class MakerMeans:
    """What every maker works with. `may_hold`: whether the ledger is open.

    `resumes`: an answer that stops for what passes stays begun, for whoever asks next; nobody has seen a part of it.
    """

    chat: Chat
    answers: Answers
    clock: Clock
    times: LogTimes
    may_hold: Callable[[], bool] = lambda: True
    resumes: bool = False


class Maker:
    """The owner of an answer. `part` are the entries of the log that a lost owner has left."""

    def __init__(
        self, means: MakerMeans, call: KeyedCall, claimed: Claimed, owner: str, part: Sequence[list[Event]]
    ) -> None:
        self.feed = Feed()
        self._means = means
        self._call = call
        self._claimed = claimed
        self._owner = owner
        self._part = part
        self._task: asyncio.Task[None] | None = None
        self._lost = self._abandoned = self._whole = self._under_way = False
        slot = call.keyed.slot
        self._log = LogWriter(means.answers, means.clock, means.times, slot, owner, lost=self._on_lost)
        self._log.start(claimed.generation, len(part))

    def start(self) -> asyncio.Task[None]:
        """Begins; what comes of it is in `feed`."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="keyed-answer")
        return self._task

    def client_left(self) -> None:
        """Nobody reads `feed` any more. An answer that cannot be sent again is of no use to anybody then."""
        if self._log.large and not self._whole and self._task is not None:
            self._task.cancel()

    def _on_lost(self, why: Kept) -> None:
        """What was made of an answer that nobody wants is charged: its client has left it."""
        if why is Kept.ABANDONED:
            self._abandoned = True
        else:
            self._lost = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._make()
        except PlatformError as problem:
            await self._break(problem, problem)
        except asyncio.CancelledError:
            why = abandoned() if self._abandoned else taken_over() if self._lost else _stopping()
            await self._break(why, why)
        except Exception as defect:  # it must reach the client's own boundary, and the log
            _log.exception("chat.failed", request_id=self._claimed.run_id)
            await self._break(PlatformError(Reason.INTERNAL, "The gateway failed unexpectedly. Try again."), defect)
        finally:
            await self._log.close()

    async def _make(self) -> None:
        if any(type(event) is Ended for batch in self._part[-1:] for event in batch):
            return await self._only_the_mark()
        if self._part:
            await self._ledger_opens()
        call = self._call
        part = taken_up(event for batch in self._part for event in batch)
        batches = self._means.chat.chat(
            call.request,
            call.principal,
            request_id=self._claimed.run_id,
            deadline=call.deadline,
            held=call.held,
            part=part,
            lost=lambda: self._lost,
        )
        async with aclosing(batches):
            async for batch in batches:
                if not self._under_way:
                    self._under_way = True
                    self._go_on() if not batch else self._begin()
                if batch:
                    await self._pass_on(batch)
        return None

    async def _ledger_opens(self) -> None:
        """Waits for it, a lease's time at most: who takes up what its own last life had begun has just started."""
        clock = self._means.clock
        until = min(clock.monotonic() + self._means.times.lease, self._call.deadline)
        while not self._means.may_hold() and clock.monotonic() < until:
            await clock.sleep(LOOK_SECONDS)

    def _go_on(self) -> None:
        for batch in self._part:
            self.feed.put(batch)

    def _begin(self) -> None:
        if self._part:
            self._log.anew()
            self.feed.anew = True

    async def _only_the_mark(self) -> None:
        """The lost owner's last word is in the log; what it was charged is settled by its lease in the ledger."""
        self._whole = True
        await self._log.finish([], State.DONE)
        self._go_on()

    async def _pass_on(self, batch: list[Event]) -> None:
        if type(batch[-1]) is Ended:
            self._whole = True
            # Who has the end in hand does not ask again: by then the store must have all of it.
            await self._log.finish(batch, State.DONE)
        else:
            self._log.add(batch)
        self.feed.put(batch)

    async def _break(self, error: PlatformError, told: BaseException) -> None:
        """Ends an answer that is not whole: one that has begun is broken, else its key is free again.

        One that was only to be gone on with is left as it is where that may work the next time: its lease ends, and
        whoever asks then takes it up.
        """
        if self._whole:
            return
        if self._lost or self._abandoned or self._stays(error):
            await self._log.close()
        elif self._log.began:
            await self._log.finish([failed(error)], State.BROKEN)
        else:
            await self._release()
        self.feed.fail(told)

    def _stays(self, error: PlatformError) -> bool:
        begun = self._log.began if self._means.resumes else bool(self._part) and not self._under_way
        return begun and error.reason in PASSING

    async def _release(self) -> None:
        await self._log.close()
        with contextlib.suppress(PlatformError, TimeoutError):  # then the lease ends by itself
            async with asyncio.timeout(self._means.times.finish):
                await self._means.answers.release(self._call.keyed.slot, self._owner)


def _stopping() -> PlatformError:
    return PlatformError(Reason.DRAINING, "The gateway is stopping. Send the request again.", retry_after_seconds=1.0)
