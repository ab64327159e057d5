"""A broker in memory, and the producer, reader and source that stand on it. The contract tests keep them honest."""

from __future__ import annotations

import asyncio
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from libs.kafka import (
    BrokerUnavailableError,
    KafkaSettings,
    Record,
    RecordRefusedError,
    Stored,
    TopicSpec,
    TopicUnknownError,
)
from libs.kafka.consumer.port import Claim, Fetched, Polled
from libs.kafka.letter_headers import delivery_of
from libs.kafka.settings import ConsumerSettings
from libs.testing.kafka_group import MemoryGroup, MemoryMember, Place

READ_BATCH = 100


class MemoryBroker:
    """Topics with partitions. `up` False refuses everybody; `fail_after` acknowledged records it goes down by itself.

    A batch that is cut off like that has arrived in part, as on a real broker.
    """

    def __init__(self) -> None:
        self.topics: dict[str, list[list[Stored]]] = {}
        self.groups: defaultdict[str, MemoryGroup] = defaultdict(MemoryGroup)
        self._waiting: list[asyncio.Future[None]] = []
        self._up = True
        self.fail_after: int | None = None
        # False loses the acknowledgement of whole batches that have arrived.
        self.acknowledges = True

    @property
    def up(self) -> bool:
        """Whether it answers."""
        return self._up

    @up.setter
    def up(self, up: bool) -> None:
        self._up = up
        self.touch()

    def create(self, topic: TopicSpec) -> None:
        """As a broker does it: what is there stays."""
        if topic.name not in self.topics:
            self.topics[topic.name] = [[] for _ in range(topic.partitions)]
            self.touch()

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
        self.touch()

    def records(self, topic: str) -> list[Record]:
        """All of a topic, partition by partition."""
        return [stored.record for partition in self.topics.get(topic, []) for stored in partition]

    def check(self) -> None:
        """Raises BrokerUnavailableError while it is down."""
        if not self.up:
            raise BrokerUnavailableError("Kafka in memory did not answer: it is down. Bring it up again.")

    async def changed(self) -> None:
        """Returns when something has changed since."""
        self._waiting.append(asyncio.get_running_loop().create_future())
        await self._waiting[-1]

    def touch(self) -> None:
        """Something has changed."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


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


class MemorySource:
    """Implements `Source` on a MemoryBroker."""

    def __init__(
        self, broker: MemoryBroker, consumer: ConsumerSettings, group: str, topics: Sequence[TopicSpec]
    ) -> None:
        self._broker, self._settings, self._topics = broker, consumer, tuple(topics)
        self._group, self._member = broker.groups[group], MemoryMember()
        self._positions: dict[Claim, int] = {}
        self._paused: set[Claim] = set()
        self._given: Sequence[Claim] = ()
        self._closed = False
        self.create_topics = True
        # True: it stands still, as a process that was stopped.
        self.held = False

    async def poll(self) -> Polled:
        """See Source."""
        if self._closed:
            raise BrokerUnavailableError("This Kafka consumer is closed: the process is ending.")
        given, self._given = self._given, ()
        self._group.give_up(self._member, given)
        if given:
            self._broker.touch()
        while True:
            await asyncio.sleep(0)
            self._broker.check()
            if not self.held and (polled := self._news() or self._fetch()) is not None:
                return polled
            await self._broker.changed()

    async def commit(self, offsets: Mapping[Claim, int]) -> Collection[Claim]:
        """See Source."""
        await asyncio.sleep(0)
        self._broker.check()
        refused = [claim for claim in offsets if not self._member.holds(claim)]
        for claim, offset in offsets.items():
            if claim not in refused:
                self._group.offsets[claim.topic, claim.partition] = offset
        if not self._broker.acknowledges:
            raise BrokerUnavailableError("Kafka in memory did not acknowledge a commit.")
        return refused

    def flow(self, claims: Collection[Claim], *, paused: bool) -> None:
        """See Source."""
        self._paused = self._paused | set(claims) if paused else self._paused - set(claims)
        self._broker.touch()

    async def close(self) -> None:
        """See Source."""
        self._closed = True
        self.expire()

    def expire(self) -> None:
        """What brokers do to a member that they have not heard of in time: it learns of it at its next poll."""
        self._group.leave(self._member)
        self._broker.touch()

    def _news(self) -> Polled | None:
        if not self._member.news:
            generation = self._group.generation
            self._group.join(self._member, self._places())
            if generation != self._group.generation:
                self._broker.touch()
        if not self._member.news:
            return None
        polled = self._member.news.pop(0)
        for claim in polled.assigned:
            self._positions[claim] = self._group.offsets.get((claim.topic, claim.partition), 0)
        self._given = polled.revoked
        return polled

    def _places(self) -> list[Place]:
        for topic in self._topics:
            if self.create_topics:
                self._broker.create(topic)
            if topic.name not in self._broker.topics:
                raise TopicUnknownError(f"Kafka has no topic {topic.name}. Create it, or set kafka.create_topics.")
        return [(topic.name, number) for topic in self._topics for number in range(len(self._held(topic.name)))]

    def _held(self, topic: str) -> list[list[Stored]]:
        return self._broker.topics[topic]

    def _fetch(self) -> Polled | None:
        left, fetched = self._settings.poll_records_max, []
        for claim in self._member.claims.values():
            held = self._held(claim.topic)[claim.partition]
            begin = self._positions[claim]
            stored = held[begin : begin + left]
            if claim in self._paused or not stored:
                continue
            self._positions[claim] += len(stored)
            left -= len(stored)
            messages = [delivery_of(item) for item in stored]
            fetched.append(Fetched(claim, messages, sum(len(item.key) + len(item.value) for item in messages)))
        if not fetched:
            return None
        return Polled(fetched=fetched, ends={each.claim: len(self._end(each.claim)) for each in fetched})

    def _end(self, claim: Claim) -> list[Stored]:
        return self._held(claim.topic)[claim.partition]
