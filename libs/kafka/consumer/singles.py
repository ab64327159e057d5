"""Messages one by one, many at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from functools import partial

from libs.kafka.consumer.lane import Lane
from libs.kafka.consumer.metrics import Outcome
from libs.kafka.consumer.settle import Settling
from libs.kafka.consumer.work import Hooks, Taken, of_handler, wait_for
from libs.kafka.handling import Delivery, Handler
from libs.kafka.letters_port import StopConsumingError


class Singles:
    """Implements `Work` for a Handler. Messages of a partition begin in order, partitions take turns."""

    def __init__(self, handler: Handler, settling: Settling, inflight_max: int, hooks: Hooks) -> None:
        self._handler, self._settling, self._inflight_max, self._hooks = handler, settling, inflight_max, hooks
        self._waiting: dict[Lane, deque[Delivery]] = {}
        self._turns: deque[Lane] = deque()
        self._tasks: dict[asyncio.Task[None], Lane] = {}

    def submit(self, polled: Sequence[Taken]) -> None:
        """See Work."""
        for lane, messages, _ in polled:
            if (queue := self._waiting.get(lane)) is not None:
                queue.extend(messages)
            else:
                self._waiting[lane] = deque(messages)
                self._turns.append(lane)
        self._fill()

    def running(self, lanes: Collection[Lane]) -> int:
        """See Work."""
        return sum(lane in lanes for lane in list(self._tasks.values()))

    async def finish(self, lanes: Collection[Lane], seconds: float) -> None:
        """See Work."""
        self.drop(lanes)
        await wait_for((task for task, lane in self._tasks.items() if lane in lanes), seconds)
        self.cut(lanes)
        await wait_for((task for task, lane in self._tasks.items() if lane in lanes), seconds)

    def cut(self, lanes: Collection[Lane]) -> None:
        """See Work."""
        self.drop(lanes)
        for task, lane in self._tasks.items():
            if lane in lanes:
                task.cancel()

    def drop(self, lanes: Collection[Lane]) -> None:
        """See Work."""
        for lane in lanes:
            if (queue := self._waiting.pop(lane, None)) is not None:
                self._turns.remove(lane)
                self._hooks.tally(lane.claim.topic, Outcome.LOST, len(queue))

    def _fill(self) -> None:
        while self._turns and len(self._tasks) < self._inflight_max:
            lane = self._turns.popleft()
            queue = self._waiting[lane]
            message = queue.popleft()
            if queue:
                self._turns.append(lane)
            else:
                del self._waiting[lane]
            task = asyncio.create_task(self._handle(lane, message))
            self._tasks[task] = lane
            task.add_done_callback(partial(self._ended, message))

    async def _handle(self, lane: Lane, message: Delivery) -> None:
        outcome = Outcome.DONE
        try:
            await of_handler(self._handler.handle(message))
        except StopConsumingError:
            raise
        except Exception as error:  # whatever a handler raises is about its message
            outcome = await self._settling.settle(message, error)
        self._hooks.tally(message.topic, outcome)
        lane.finish(message)

    def _ended(self, message: Delivery, task: asyncio.Task[None]) -> None:
        lane = self._tasks.pop(task)
        if task.cancelled():
            self._hooks.tally(message.topic, Outcome.LOST)
        elif (error := task.exception()) is not None:
            self._hooks.failed(error)
        else:
            self._hooks.progressed(lane)
        self._fill()
