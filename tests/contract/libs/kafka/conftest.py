"""The same checks on the twin, on the broker of `headrace up`, and on Apache Kafka (make test-kafka)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from libs.kafka import KafkaSettings, Producer, Reader, TopicSpec
from libs.kafka.consumer import Source
from libs.kafka.consumer.kafka_source import KafkaSource
from libs.kafka.producer import IdempotentProducer
from libs.kafka.reader import TopicReader
from libs.kafka.settings import ConsumerSettings
from libs.testing.brokers import BrokerProcess, embedded_broker
from libs.testing.kafka import MemoryBroker, MemoryProducer, MemoryReader, MemorySource
from tools.kafka_node import KafkaNode, fetched


@dataclass
class World:
    """One broker and how to make clients of it. `keeps` = acknowledged records outlive a kill."""

    kind: str
    memory: MemoryBroker | None = None
    process: BrokerProcess | None = None

    @property
    def keeps(self) -> bool:
        return self.kind != "embedded"

    def settings(self, **changes: object) -> KafkaSettings:
        return self.process.settings(**changes) if self.process else KafkaSettings.model_validate(changes)

    def producer(self, *topics: TopicSpec, **changes: object) -> Producer:
        settings = self.settings(**changes)
        if self.memory:
            return MemoryProducer(self.memory, topics, settings)
        return IdempotentProducer(settings, topics)

    def reader(self) -> Reader:
        return MemoryReader(self.memory) if self.memory else TopicReader(self.settings())

    def source(self, consumer: ConsumerSettings, group: str, *topics: TopicSpec, **changes: object) -> Source:
        settings = self.settings(**changes)
        if self.memory:
            source = MemorySource(self.memory, consumer, group, topics)
            source.create_topics = settings.create_topics
            return source
        return KafkaSource(settings, consumer, group, topics)

    def hold(self, source: Source, seconds: float) -> None:
        """Stops all of a source's threads for so long, heartbeats included, as SIGSTOP does with its process.

        The twin's stands still until `go_on`, and is dead to its group at once.
        """
        if isinstance(source, MemorySource):
            source.held = True
            source.expire()
        elif isinstance(source, KafkaSource):
            member = source._member
            assert member is not None
            member._client._net.call_soon_threadsafe(lambda: time.sleep(seconds))

    def go_on(self, source: Source) -> None:
        if self.memory and isinstance(source, MemorySource):
            source.held = False
            self.memory.touch()

    def kill(self) -> None:
        if self.process:
            self.process.kill()
        else:
            self.memory.up = False

    def start(self) -> None:
        if self.process:
            self.process.start()
        else:
            self.memory.up = True

    def freeze(self) -> None:
        if self.process:
            self.process.freeze()
        else:
            self.memory.up = False

    def thaw(self) -> None:
        if self.process:
            self.process.thaw()
        else:
            self.memory.up = True


@pytest.fixture(scope="session")
def apache() -> Iterator[KafkaNode]:
    if not fetched():
        pytest.skip("Apache Kafka is not here: make test-kafka fetches it")
    with KafkaNode(message_bytes_max=12 * 2**20) as node:
        yield node


@pytest.fixture(params=["memory", "embedded", pytest.param("apache", marks=pytest.mark.kafka)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        yield World("memory", memory=MemoryBroker())
    elif request.param == "embedded":
        with embedded_broker() as broker:
            yield World("embedded", process=broker)
    else:
        yield World("apache", process=request.getfixturevalue("apache").broker)


@pytest.fixture
def topic() -> TopicSpec:
    return TopicSpec(f"test-{uuid4().hex[:12]}", partitions=3)
