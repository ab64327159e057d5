"""A broker in memory, and the producer and reader that stand on it. The contract tests keep them honest."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence

from libs.kafka import (
    BrokerUnavailableError,
    KafkaSettings,
    Record,
    RecordRefusedError,
    Stored,
    TopicSpec,
    TopicUnknownError,
)

READ_BATCH = 100


class MemoryBroker:
    """Topics with partitions. `up` False refuses everybody; `fail_after` acknowledged records it goes down by itself.

    A batch that is cut off like that has arrived in part, as on a real broker.
    """

    def __init__(self) -> None:
        self.topics: dict[str, list[list[Stored]]] = {}
        self.up = True
        self.fail_after: int | None = None
        # False loses the acknowledgement of whole batches that have arrived.
        self.acknowledges = True

    def create(self, topic: TopicSpec) -> None:
        """As a broker does it: what is there stays."""
        self.topics.setdefault(topic.name, [[] for _ in range(topic.partitions)])

    def append(self, record: Record) -> None:
        """Puts a record at the end of its key's partition. Raises BrokerUnavailableError, TopicUnknownError."""
        if self.fail_after == 0:
            self.up, self.fail_after = False, None
        self.check()
        if record.topic not in self.topics:
            raise TopicUnknownError(f"Kafka has no topic {record.topic}. Create it, or set kafka.create_topics.")
        partitions = self.topics[record.topic]
        number = zlib.crc32(record.key) % len(partitions)
        partitions[number].append(Stored(record, number, len(partitions[number])))
        if self.fail_after is not None:
            self.fail_after -= 1

    def records(self, topic: str) -> list[Record]:
        """All of a topic, partition by partition."""
        return [stored.record for partition in self.topics.get(topic, []) for stored in partition]

    def check(self) -> None:
        """Raises BrokerUnavailableError while it is down."""
        if not self.up:
            raise BrokerUnavailableError("Kafka in memory did not answer: it is down. Bring it up again.")


class MemoryProducer:
    """Implements `Producer` on a MemoryBroker."""

    def __init__(
        self, broker: MemoryBroker, topics: Sequence[TopicSpec] = (), settings: KafkaSettings | None = None
    ) -> None:
        self._broker, self._topics, self._settings = broker, topics, settings or KafkaSettings()
        self._turn = asyncio.Lock()
        self._closed = False

    async def send(self, records: Sequence[Record]) -> None:
        """See `Producer`."""
        if self._closed:
            raise BrokerUnavailableError("This Kafka producer is closed: the process is ending.")
        limit = self._settings.record_bytes_max
        if any(record.size_bytes > limit for record in records):
            raise RecordRefusedError(f"A record is larger than kafka.record_bytes_max allows ({limit}).")
        if records:
            async with self._turn:
                await self._append(records)

    async def _append(self, records: Sequence[Record]) -> None:
        await asyncio.sleep(0)  # as a real one: others run while the broker is asked
        self._broker.check()
        if self._settings.create_topics:
            for topic in self._topics:
                self._broker.create(topic)
        for record in records:
            self._broker.append(record)
            await asyncio.sleep(0)
        if not self._broker.acknowledges:
            raise BrokerUnavailableError("Kafka in memory did not acknowledge a batch.")

    async def close(self) -> None:
        """See `Producer`."""
        self._closed = True


class MemoryReader:
    """Implements `Reader` on a MemoryBroker."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def read_all(self, topic: str) -> AsyncIterator[Sequence[Stored]]:
        """See `Reader`."""
        self._broker.check()
        if topic not in self._broker.topics:
            raise TopicUnknownError(f"Kafka has no topic {topic}: nothing was ever published to it here.")
        held = [stored for partition in self._broker.topics[topic] for stored in partition]
        for start in range(0, len(held), READ_BATCH):
            self._broker.check()
            yield held[start : start + READ_BATCH]
            await asyncio.sleep(0)
