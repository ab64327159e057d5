"""Running handlers: what both ways of it, one by one and in batches, offer the consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from libs.kafka.consumer.lane import Lane
from libs.kafka.consumer.metrics import ConsumerMetrics, Outcome, OutcomeLabels
from libs.kafka.handling import Delivery

T = TypeVar("T")


class Taken(NamedTuple):
    """Messages of one partition that came together, in order."""

    lane: Lane
    messages: Sequence[Delivery]
    size_bytes: int


class Hooks(NamedTuple):
    """What the consumer hears. `progressed`: messages of a lane are done. `failed`: consuming must end."""

    progressed: Callable[[Lane], None]
    failed: Callable[[BaseException], None]
    metrics: ConsumerMetrics

    def tally(self, topic: str, outcome: Outcome, messages: int = 1) -> None:
        """Counts messages by what became of them."""
        if messages:
            self.metrics.handled.inc(OutcomeLabels(topic, outcome), messages)


class Work(Protocol):
    """Handlers at work. Used by one event loop; only `finish` waits."""

    def submit(self, polled: Sequence[Taken]) -> None:
        """Begins with what was polled together, or queues it."""
        ...

    def running(self, lanes: Collection[Lane]) -> int:
        """Messages of these lanes that a handler has."""
        ...

    async def finish(self, lanes: Collection[Lane], seconds: float) -> None:
        """Begins nothing more of these lanes, waits for what runs, and cuts off what is left after `seconds`."""
        ...

    def drop(self, lanes: Collection[Lane]) -> None:
        """Begins nothing more of these lanes: what waits comes again elsewhere."""
        ...

    def cut(self, lanes: Collection[Lane]) -> None:
        """Cancels handlers of these lanes, where that hurts no other lane. Nothing of them is begun any more."""
        ...


async def wait_for(tasks: Iterable[asyncio.Task[None]], seconds: float) -> None:
    """Until all have ended, or the time is over. Raises nothing of theirs."""
    running = [task for task in tasks if not task.done()]
    if running:
        await asyncio.wait(running, timeout=seconds)


async def of_handler(handling: Awaitable[T]) -> T:
    """What a handler returns or raises. Its task is cancelled only by whoever takes its messages away.

    A cancellation that nobody asked this task for comes from something that the handler waited for, and is an error of
    its own: taken for the other kind it would leave its messages undone in the middle of what is committed.
    """
    try:
        return await handling
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("something that the handler waited for was cancelled") from error
