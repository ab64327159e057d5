"""A topic from its beginning to where it ends when the reading begins."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from libs.kafka.client import client_config, open_client, translated
from libs.kafka.errors import BrokerUnavailableError, TopicUnknownError
from libs.kafka.ports import Record, Stored
from libs.kafka.settings import KafkaSettings
from libs.kafka.thread import OneThread
from libs.kafka.topics import prepare_topics

POLL_MS = 200
RECORDS_PER_BATCH = 2_000


class TopicReader:
    """Implements `Reader`. Each reading has a connection and a thread of its own."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    async def read_all(self, topic: str) -> AsyncIterator[Sequence[Stored]]:
        """See `Reader`."""
        thread = OneThread("kafka-reader")
        reading = _Reading(self._settings, topic)
        try:
            await thread.run(reading.open)
            while batch := await thread.run(reading.next):
                yield batch
        finally:
            await thread.run(reading.close)
            thread.stop()


class _Reading:
    """One reading; every method blocks and belongs to one thread."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings, self._topic = settings, topic
        self._consumer: KafkaConsumer | None = None
        self._ends: dict[TopicPartition, int] = {}
        self._settled: set[TopicPartition] = set()

    def open(self) -> None:
        """Finds the partitions and where each ends."""
        with translated(self._settings, f"say what {self._topic} holds"):
            if self._topic not in prepare_topics(self._settings, ()):
                raise TopicUnknownError(f"Kafka has no topic {self._topic}: nothing was ever published to it here.")
            self._consumer = consumer = open_client(KafkaConsumer, **self._options())
            partitions = [
                TopicPartition(self._topic, number) for number in consumer.partitions_for_topic(self._topic) or ()
            ]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            begins = consumer.beginning_offsets(partitions)
            self._ends = {at: end for at, end in consumer.end_offsets(partitions).items() if end > begins[at]}
            consumer.pause(*(at for at in partitions if at not in self._ends))

    def next(self) -> list[Stored]:
        """The next batch, empty at the end. A partition that has been read to its end is paused."""
        consumer, give_up = self._consumer, time.monotonic() + self._settings.send_timeout_ms / 1000
        while self._ends and consumer is not None:
            with translated(self._settings, f"hand out {self._topic}"):
                polled = consumer.poll(timeout_ms=POLL_MS)
                self._settle_ends(consumer, polled)
                batch = [self._stored(at, item) for at, items in polled.items() for item in self._wanted(at, items)]
                self._leave_ended(consumer)
            if batch:
                return batch
            if time.monotonic() > give_up and self._ends:
                raise BrokerUnavailableError(
                    f"Kafka stopped handing out {self._topic} before its end. Check the brokers, then start again."
                )
        return []

    def close(self) -> None:
        """Gives the connection up."""
        if self._consumer is not None:
            self._consumer.close(autocommit=False)
            self._consumer = None

    def _options(self) -> dict[str, object]:
        return client_config(self._settings) | {
            "group_id": None,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "allow_auto_create_topics": False,
            "max_poll_records": RECORDS_PER_BATCH,
            "fetch_max_wait_ms": 50,
            "metrics_enabled": False,
        }

    def _wanted(self, at: TopicPartition, items: Sequence[Any]) -> list[Any]:
        """What stood there when the reading began."""
        end = self._ends.get(at, 0)
        return [item for item in items if item.offset < end]

    def _settle_ends(self, consumer: KafkaConsumer, polled: Iterable[TopicPartition]) -> None:
        """Takes a partition's end from its first fetch: Tansu's answer to "where do you end" counts batches."""
        for at in self._ends.keys() & set(polled) - self._settled:
            self._ends[at] = max(self._ends[at], consumer.highwater(at) or 0)
            self._settled.add(at)

    def _leave_ended(self, consumer: KafkaConsumer) -> None:
        """By position and not by the last record: markers of transactions take offsets and are never handed out."""
        for at in [at for at, end in self._ends.items() if consumer.position(at) >= end]:
            del self._ends[at]
            consumer.pause(at)

    def _stored(self, at: TopicPartition, item: Any) -> Stored:
        record = Record(self._topic, item.key or b"", item.value or b"", tuple(item.headers or ()))
        return Stored(record, at.partition, item.offset, max(item.timestamp or 0, 0))
