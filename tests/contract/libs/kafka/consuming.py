"""What tests of the consumer share: handlers that note what they get, and a consumer that runs for a while."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from libs.clock import SystemClock
from libs.kafka import BrokerUnavailableError, Record, TopicSpec
from libs.kafka.consumer import Consumer, ConsumerMetrics, Source
from libs.kafka.handling import BatchHandler, Delivery, Handler
from libs.kafka.settings import ConsumerSettings
from libs.telemetry.metrics import Registry
from libs.testing.letters import MemoryLetters

from .conftest import World

# Far above what the settings of the tests allow; a hang is what it catches.
HANG_SECONDS = 30.0
TURN_SECONDS = 0.01
# Short, so that deaths are found soon: Tansu's join takes half of it.
SESSION_MS = 2_000


def settings(**changes: object) -> ConsumerSettings:
    near = {
        "session_timeout_ms": SESSION_MS,
        "commit_seconds": 0.0,
        "retry_seconds_min": 0.05,
        "retry_seconds_max": 0.2,
    }
    return ConsumerSettings.model_validate({**near, **changes})


@dataclass
class Noting:
    """A handler that keeps what it is given; `raises` by value, and `gate` holds it up while it is not set."""

    raises: dict[bytes, Exception] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    began: list[Delivery] = field(default_factory=list)
    done: list[Delivery] = field(default_factory=list)

    async def handle(self, message: Delivery) -> None:
        self.began.append(message)
        if self.gate is not None:
            await self.gate.wait()
        if (error := self.raises.get(message.value)) is not None:
            raise error
        self.done.append(message)

    def values(self) -> list[bytes]:
        return [message.value for message in self.done]


@dataclass
class NotingBatches(Noting):
    """The same for batches."""

    batches: list[int] = field(default_factory=list)

    async def handle_batch(self, messages: Sequence[Delivery]) -> Sequence[Exception | None]:
        self.began.extend(messages)
        if self.gate is not None:
            await self.gate.wait()
        self.batches.append(len(messages))
        results = [self.raises.get(message.value) for message in messages]
        self.done.extend(message for message, error in zip(messages, results, strict=True) if error is None)
        return results


@dataclass
class Running:
    """A consumer that runs, and what it has."""

    consumer: Consumer
    source: Source
    letters: MemoryLetters
    registry: Registry
    task: asyncio.Task[None]

    def partitions(self) -> int:
        return len(self.consumer._lanes)

    def metric(self, line: str) -> float:
        """The value of a sample, 0 where there is none."""
        found = [text for text in self.registry.render()[1].decode().splitlines() if text.startswith(line + " ")]
        return float(found[0].rsplit(" ", 1)[1]) if found else 0.0

    async def crash(self) -> None:
        """Ends it as a death would: nothing more is handled or committed."""
        self.consumer._commits._lanes.clear()
        self.consumer._commits.progressed = lambda _: None  # type: ignore[method-assign]
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def running(
    world: World,
    topic: TopicSpec,
    handler: Handler | BatchHandler,
    *,
    consumer: ConsumerSettings | None = None,
    letters: MemoryLetters | None = None,
    **changes: object,
) -> AsyncIterator[Running]:
    """In the group "readers" of the topic; drained at the end."""
    consumer, letters, registry = consumer or settings(), letters or MemoryLetters(), Registry()
    source = world.source(consumer, f"readers-{topic.name}", topic, **changes)
    made = Consumer(source, handler, letters, SystemClock(), consumer, ConsumerMetrics(registry))
    one = Running(made, source, letters, registry, asyncio.create_task(made.run()))
    try:
        yield one
    finally:
        await made.drain(5.0)
        with suppress(asyncio.CancelledError):
            await one.task


async def until(condition: Callable[[], bool | Awaitable[bool]], why: str = "") -> None:
    end = time.monotonic() + HANG_SECONDS
    while True:
        met = condition()
        if met if isinstance(met, bool) else await met:
            return
        assert time.monotonic() < end, why or "it did not come to it"
        await asyncio.sleep(TURN_SECONDS)


def records(topic: TopicSpec, count: int, *, first: int = 0, keys: int = 8) -> list[Record]:
    return [Record(topic.name, b"k%d" % (n % keys), b"v%d" % n) for n in range(first, first + count)]


def values(count: int, *, first: int = 0) -> Counter[bytes]:
    return Counter(b"v%d" % n for n in range(first, first + count))


async def publish(world: World, topic: TopicSpec, batch: Sequence[Record], **changes: object) -> None:
    """Sends all, once. A topic that was just made has no leaders for a while on a busy machine."""
    producer = world.producer(topic, **{"send_timeout_ms": 20_000, "connect_timeout_ms": 20_000, **changes})
    try:
        await producer.send(batch)
    finally:
        await producer.close()


async def publish_at_last(world: World, topic: TopicSpec, batch: Sequence[Record]) -> None:
    """Sends all, again and again while the broker is away: some of it may arrive twice."""
    end = time.monotonic() + HANG_SECONDS
    while time.monotonic() < end:
        with suppress(BrokerUnavailableError):
            await publish(world, topic, batch, send_timeout_ms=2_000, connect_timeout_ms=1_000)
            return
        await asyncio.sleep(TURN_SECONDS)
    raise AssertionError("the broker did not come back")
