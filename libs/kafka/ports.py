"""What services know of Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Record:
    """What is published. Records with equal keys go to one partition, and so keep their order."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def size_bytes(self) -> int:
        """About what it takes in a request, framing left out."""
        return len(self.key) + len(self.value) + sum(len(name) + len(value) for name, value in self.headers)


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it stands in its topic. `timestamp_ms` is its producer's clock, or its broker's; 0 = unknown."""

    record: Record
    partition: int
    offset: int
    timestamp_ms: int = 0


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic that is created when it is missing. `replication` -1 and `retention_ms` 0 take the broker's default."""

    name: str
    partitions: int
    replication: int = -1
    # How long it keeps a record. A topic that is there keeps what it is set to.
    retention_ms: int = 0


class Producer(Protocol):
    """Publishes. One caller at a time gets its batch through; others wait their turn."""

    async def send(self, records: Sequence[Record]) -> None:
        """Returns when the broker has acknowledged every record, in the given order per key; an empty batch is done.

        Raises KafkaError within the time limit of the settings. Then any part of the batch may have arrived: a repeat
        of the whole batch leaves the first occurrences of its records in order.
        """
        ...

    async def close(self) -> None:
        """Ends within the close limit, whatever the broker does. A repeat does nothing."""
        ...


class Reader(Protocol):
    """Reads a topic from its beginning, for tools that rebuild or compare. Belongs to no consumer group."""

    def read_all(self, topic: str) -> AsyncIterator[Sequence[Stored]]:
        """What the topic holds when the reading begins, in batches, in order per partition.

        Raises KafkaError; a broker that goes away in the middle is an error and never a short read.
        """
        ...
