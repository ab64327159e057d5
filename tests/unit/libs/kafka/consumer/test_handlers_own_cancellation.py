"""A handler that is cancelled by something that it waited for, and not by whoever takes its messages away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from libs.clock import SystemClock
from libs.kafka import Record, TopicSpec
from libs.kafka.consumer import Consumer, ConsumerMetrics
from libs.kafka.handling import Delivery
from libs.kafka.settings import ConsumerSettings
from libs.telemetry.metrics import Registry
from libs.testing.kafka import MemoryBroker, MemorySource
from libs.testing.letters import MemoryLetters
from libs.testing.loop import run_real

TOPIC = TopicSpec("work", partitions=1)
TURNS_MAX = 1_000


class OneByOne:
    """Waits, for its first message, for something that is cancelled."""

    def __init__(self) -> None:
        self.done: list[bytes] = []

    async def handle(self, message: Delivery) -> None:
        if message.value == b"v0":
            gone = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(gone.cancel)
            await gone
        self.done.append(message.value)


class Together(OneByOne):
    async def handle_batch(self, messages: Sequence[Delivery]) -> Sequence[Exception | None]:
        for message in messages:
            await self.handle(message)
        return [None] * len(messages)


@pytest.mark.parametrize("kind", [OneByOne, Together])
def test_its_messages_are_tried_again_and_not_left_out_of_what_is_committed(kind: type[OneByOne]) -> None:
    async def main() -> None:
        broker, letters, handler = MemoryBroker(), MemoryLetters(), kind()
        broker.create(TOPIC)
        for n in range(4):
            broker.append(Record(TOPIC.name, b"k", b"v%d" % n))
        settings = ConsumerSettings(commit_seconds=0, poll_records_max=2)
        source = MemorySource(broker, settings, "group", [TOPIC])
        consumer = Consumer(source, handler, letters, SystemClock(), settings, ConsumerMetrics(Registry()))
        running = asyncio.ensure_future(consumer.run())
        offsets = broker.groups["group"].offsets
        for _ in range(TURNS_MAX):
            if offsets.get((TOPIC.name, 0)) == 4:
                break
            await asyncio.sleep(0.001)
        await consumer.drain(1.0)
        await running
        assert offsets[TOPIC.name, 0] == 4
        # All of the four: done, or moved to where they are tried again.
        assert {b"v0"} <= set(letters.values("retry"))
        assert {*handler.done, *letters.values("retry")} == {b"v0", b"v1", b"v2", b"v3"}

    run_real(main())
