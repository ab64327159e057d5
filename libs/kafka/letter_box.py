"""What stands in a topic of dead letters or parked messages, for tools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field

from libs.kafka.handling import Delivery
from libs.kafka.letter_headers import (
    CAUSE,
    DONE,
    FIRST_SEEN,
    MOVED,
    ORIGIN,
    REPLAYED,
    SHA256,
    SIZE,
    STACK,
    delivery_of,
    number,
    parse_place,
    text,
)
from libs.kafka.ports import Reader

# Partition and offset.
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead or parked message, its value and stack left out. Times in unix ms, 0 = unknown.

    `stub`: its value was too large to be moved, and stands at its origin only.
    """

    topic: str
    partition: int
    offset: int
    cause: str
    attempts: int
    origin: tuple[str, int, int] | None
    first_seen_ms: int
    moved_ms: int
    event_id: str
    event_type: str
    schema: str
    size_bytes: int
    stub: bool
    replayed_from: str

    @property
    def place(self) -> Place:
        """Its name within the topic."""
        return self.partition, self.offset


@dataclass(slots=True)
class Box:
    """All letters of a topic, in order of partition and offset, and which of them were replayed."""

    topic: str
    letters: list[Letter] = field(default_factory=list)
    done: set[Place] = field(default_factory=set)

    @property
    def waiting(self) -> list[Letter]:
        """Those that nobody has replayed."""
        return [letter for letter in self.letters if letter.place not in self.done]


async def read_box(reader: Reader, topic: str) -> Box:
    """All that the topic holds. Raises KafkaError; TopicUnknownError where there is no such topic."""
    box = Box(topic)
    async for message in messages(reader, topic):
        if marked := marks(message):
            box.done.add(marked)
        else:
            box.letters.append(letter_of(message))
    box.letters.sort(key=lambda letter: letter.place)
    return box


async def read_letters(reader: Reader, topic: str, places: Collection[Place]) -> Sequence[Delivery]:
    """Whole messages, those of the places that are there. Raises KafkaError."""
    return [
        message
        async for message in messages(reader, topic)
        if (message.partition, message.offset) in places and not marks(message)
    ]


async def messages(reader: Reader, topic: str) -> AsyncIterator[Delivery]:
    """Everything, markers too, as it is read. Raises KafkaError."""
    async for batch in reader.read_all(topic):
        for stored in batch:
            yield delivery_of(stored)


def marks(message: Delivery) -> Place | None:
    """The letter that this is a marker of; None for a letter."""
    found = parse_place(f"{message.topic}/{text(message.headers, DONE)}")
    return found[1:] if found else None


def letter_of(message: Delivery) -> Letter:
    """What its headers say of it."""
    headers = message.headers
    return Letter(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        cause=text(headers, CAUSE),
        attempts=message.attempt,
        origin=parse_place(text(headers, ORIGIN)),
        first_seen_ms=number(headers, FIRST_SEEN),
        moved_ms=number(headers, MOVED) or message.timestamp_ms,
        event_id=text(headers, "ce_id"),
        event_type=text(headers, "ce_type"),
        schema=text(headers, "ce_dataschema"),
        size_bytes=number(headers, SIZE) or len(message.value),
        stub=SHA256 in headers,
        replayed_from=text(headers, REPLAYED),
    )


def stack_of_letter(message: Delivery) -> str:
    """Where its handler raised; empty where that is unknown."""
    return text(message.headers, STACK)
