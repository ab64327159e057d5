"""A consumer as a process of its own, for tests that kill it: one line per message it has handled, in its own file."""

from __future__ import annotations

import asyncio
import os
import sys

from libs.clock import SystemClock
from libs.kafka import KafkaSettings, TopicSpec
from libs.kafka.consumer import Consumer, ConsumerMetrics
from libs.kafka.consumer.kafka_source import KafkaSource
from libs.kafka.handling import Delivery
from libs.kafka.settings import ConsumerSettings
from libs.telemetry.metrics import Registry
from libs.testing.letters import MemoryLetters


class Writing:
    """The line is with the kernel when the handler returns, so that it outlives a kill of the process."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def handle(self, message: Delivery) -> None:
        """See Handler."""
        await asyncio.sleep(0.001)
        os.write(self._file, message.value + b"\n")


async def main(brokers: str, topic: str, path: str) -> None:
    """Runs until it is killed."""
    kafka = KafkaSettings(brokers=tuple(brokers.split(",")), connect_timeout_ms=2_000, create_topics=False)
    settings = ConsumerSettings(session_timeout_ms=4_000, poll_records_max=100)
    source = KafkaSource(kafka, settings, f"readers-{topic}", [TopicSpec(topic, 6)])
    await Consumer(source, Writing(path), MemoryLetters(), SystemClock(), settings, ConsumerMetrics(Registry())).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
