"""What was polled together, in one go."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Collection, Sequence

from libs.kafka.consumer.lane import Lane
from libs.kafka.consumer.metrics import Outcome
from libs.kafka.consumer.settle import Settling
from libs.kafka.consumer.work import Hooks, Taken, of_handler, wait_for
from libs.kafka.handling import BatchHandler, Delivery
from libs.kafka.letters_port import StopConsumingError

Results = Sequence[Exception | None]


class Batches:
    """Implements `Work` for a BatchHandler. One batch after another, so that order holds; one task for each."""

    def __init__(self, handler: BatchHandler, settling: Settling, hooks: Hooks) -> None:
        self._handler, self._settling, self._hooks = handler, settling, hooks
        self._waiting: deque[Sequence[Taken]] = deque()
        self._now: Sequence[Taken] = ()
        self._task: asyncio.Task[None] | None = None

    def submit(self, polled: Sequence[Taken]) -> None:
        """See Work."""
        self._waiting.append(polled)
        self._next()

    def running(self, lanes: Collection[Lane]) -> int:
        """See Work."""
        return sum(len(taken.messages) for taken in self._now if taken.lane in lanes)

    async def finish(self, lanes: Collection[Lane], seconds: float) -> None:
        """See Work. A batch that has messages of other lanes too is not cut off."""
        self.drop(lanes)
        if self._task is not None and self.running(lanes):
            await wait_for([self._task], seconds)
        self.cut(lanes)
        if self._task is not None and self._only(lanes):
            await wait_for([self._task], seconds)

    def cut(self, lanes: Collection[Lane]) -> None:
        """See Work."""
        self.drop(lanes)
        if self._task is not None and self._only(lanes):
            self._task.cancel()

    def _only(self, lanes: Collection[Lane]) -> bool:
        return bool(self._now) and all(taken.lane in lanes or taken.lane.gone for taken in self._now)

    def drop(self, lanes: Collection[Lane]) -> None:
        """See Work."""
        for taken in (taken for polled in self._waiting for taken in polled if taken.lane in lanes):
            self._hooks.tally(taken.lane.claim.topic, Outcome.LOST, len(taken.messages))
        kept = ([taken for taken in polled if taken.lane not in lanes] for polled in self._waiting)
        self._waiting = deque(polled for polled in kept if polled)

    def _next(self) -> None:
        if self._task is None and self._waiting:
            self._now = self._waiting.popleft()
            self._task = asyncio.create_task(self._handle(self._now))
            self._task.add_done_callback(self._ended)

    async def _handle(self, polled: Sequence[Taken]) -> None:
        messages = polled[0].messages if len(polled) == 1 else [item for taken in polled for item in taken.messages]
        results = await self._results(messages)
        done = Counter[str]()
        for lane, mine, _ in polled:
            done[lane.claim.topic] += len(mine)
        if results.count(None) != len(messages):
            done -= await self._settle(messages, results)
        for lane, mine, size_bytes in polled:
            lane.finish_first(mine, size_bytes)
        for topic, count in done.items():
            self._hooks.tally(topic, Outcome.DONE, count)

    async def _results(self, messages: Sequence[Delivery]) -> Results:
        try:
            results = await of_handler(self._handler.handle_batch(messages))
        except StopConsumingError:
            raise
        except Exception as error:  # what it raises holds for all of them
            return [error] * len(messages)
        if len(results) != len(messages):
            raise RuntimeError(f"a batch handler returned {len(results)} results for {len(messages)} messages")
        return results

    async def _settle(self, messages: Sequence[Delivery], results: Results) -> Counter[str]:
        """How many of each topic were moved."""
        errors = [(message, error) for message, error in zip(messages, results, strict=True) if error is not None]
        settled = await asyncio.gather(*(self._settling.settle(*each) for each in errors), return_exceptions=True)
        for (message, _), outcome in zip(errors, settled, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            self._hooks.tally(message.topic, outcome)
        return Counter(message.topic for message, _ in errors)

    def _ended(self, task: asyncio.Task[None]) -> None:
        polled, self._now, self._task = self._now, (), None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._hooks.failed(error)
            return
        for lane, mine, _ in polled:
            if task.cancelled():
                self._hooks.tally(lane.claim.topic, Outcome.LOST, len(mine))
            else:
                self._hooks.progressed(lane)
        self._next()
