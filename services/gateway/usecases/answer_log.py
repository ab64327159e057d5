"""The owner's side of an answer under an idempotency key: what goes to the log, and what goes to its own client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.gateway.domain.idempotency import Kept, Slot, State
from services.gateway.events import Ended, Event
from services.gateway.ports.answers import Answers
from services.gateway.usecases.logged_events import Logged, encode

# Events of one entry: what waits after a pause of the store goes in several.
ENTRY_EVENTS_MAX = 256
RETRY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class LogTimes:
    """Seconds. An owner renews its lease three times before it is over; what is ready within `flush` goes together.

    `finish` is how long a client waits for its last part until the store has all of the answer; `poll` how often
    somebody else looks for more.
    """

    lease: float = 5.0
    flush: float = 0.02
    finish: float = 1.0
    poll: float = 0.05


class LogWriter:
    """Writes the log of one answer in order, beside the stream: nothing waits for the store before `finish`.

    `lost` is called once when the answer has got another owner, or nobody wants it. `large`: the log is not kept any
    more.
    """

    def __init__(
        self, answers: Answers, clock: Clock, times: LogTimes, slot: Slot, owner: str, *, lost: Callable[[Kept], None]
    ) -> None:
        self._answers = answers
        self._clock = clock
        self._times = times
        self._slot = slot
        self._owner = owner
        self._lost = lost
        self._pending: deque[Logged] = deque()
        self._more = asyncio.Event()
        self._ends = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._state: State | None = None
        self.generation = 1
        self.number = 0
        self.large = False
        # Something of the answer is in the log, or on its way there.
        self.began = False

    def start(self, generation: int, number: int) -> None:
        """Begins to write, and to renew the lease, behind `number` entries."""
        self.generation, self.number, self.began = generation, number, number > 0
        self._task = asyncio.get_running_loop().create_task(self._run(), name="answer-log")

    def anew(self) -> None:
        """What is in the log is no part of the answer."""
        self.generation, self.number, self.began = self.generation + 1, 0, False

    def add(self, events: list[Event]) -> None:
        """Takes what is ready. Never blocks."""
        self._pending.extend(events)
        self.began = True
        self._more.set()

    async def finish(self, last: Sequence[Logged], state: State) -> None:
        """Returns when the whole answer is kept, or `finish` is over; then it is tried on for a lease's time."""
        self._pending.extend(last)
        self._state = state
        self._more.set()
        self._ends.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=self._times.finish)

    async def close(self) -> None:
        """Ends the writer; what is not written within a lease's time is lost."""
        if self._task is None:
            return
        try:
            if self._state is not None:
                await asyncio.wait({self._task}, timeout=self._times.lease)
        finally:
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        entry = b""
        while True:
            if not entry:
                entry = await self._next_entry()
            if not entry and self._state is not None:
                if await self._say(self._answers.finish(self._slot, self._owner, self._state)) is not None:
                    return
                continue
            kept = await self._say(self._answers.append(self._slot, self._owner, self.generation, self.number, entry))
            if kept in (Kept.LOST, Kept.ABANDONED):
                self._lost(kept)
                return
            self.large = self.large or kept is Kept.LARGE
            if kept is not None:
                self.number += bool(entry)
                entry = b""

    async def _next_entry(self) -> bytes:
        """What is to be written next; empty = nothing, and the lease is to be renewed or the answer to be finished."""
        if not self._pending and self._state is None:
            try:
                async with asyncio.timeout(self._times.lease / 3):
                    await self._more.wait()
            except TimeoutError:
                return b""
        if self._state is None:
            # The end of the answer waits for nothing.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._times.flush):
                    await self._ends.wait()
        self._more.clear()
        if not self._pending:
            return b""
        return encode([self._pending.popleft() for _ in range(min(len(self._pending), ENTRY_EVENTS_MAX))])

    async def _say(self, said: Awaitable[Kept]) -> Kept | None:
        """What the store says; None = nothing, and it is to be asked again."""
        try:
            return await said
        except PlatformError as error:
            if error.reason is not Reason.STORE_UNAVAILABLE:
                raise
            await self._clock.sleep(RETRY_SECONDS)
            return None


class Feed:
    """From the task that makes an answer to the one client whose request began it, or went on with it."""

    def __init__(self) -> None:
        self._batches: deque[list[Event]] = deque()
        self._wake = asyncio.Event()
        self._error: BaseException | None = None
        # An answer of which a part was logged is made anew: that part is void.
        self.anew = False

    def put(self, batch: list[Event]) -> None:
        """What is ready."""
        self._batches.append(batch)
        self._wake.set()

    def fail(self, error: BaseException) -> None:
        """The answer ends with an error, after what was put."""
        self._error = error
        self._wake.set()

    async def read(self) -> AsyncGenerator[list[Event], None]:
        """All of it, to `Ended` or the error."""
        while True:
            while self._batches:
                batch = self._batches.popleft()
                yield batch
                if batch and type(batch[-1]) is Ended:
                    return
            if self._error is not None:
                raise self._error
            self._wake.clear()
            await self._wake.wait()
