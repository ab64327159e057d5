"""What a message's headers say of its way through retry topics, dead letters and parking.

The message's own headers, key and value stay as they are on the whole way; these come on top, and each move sets them
again. Numbers are ASCII digits, times are unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping

from libs.kafka.handling import Delivery
from libs.kafka.ports import Stored

Headers = tuple[tuple[str, bytes], ...]

# Which attempt this is, from 1; of a dead letter, how many were made. Absent on a message that was never moved.
ATTEMPT = "headrace-attempt"
# Where it stood first: topic/partition/offset.
ORIGIN = "headrace-origin"
# When it was moved first, and last.
FIRST_SEEN = "headrace-first-seen"
MOVED = "headrace-moved"
# In a retry topic: it comes back no sooner than this.
NOT_BEFORE = "headrace-not-before"
# What its handler raised, and where.
CAUSE = "headrace-cause"
STACK = "headrace-stack"
# On the stub of a message that is too large to be moved: its value's size and SHA-256 in hex. The stub has no value.
SIZE = "headrace-size"
SHA256 = "headrace-sha256"
# On a message that came back by command: where from, topic/partition/offset.
REPLAYED = "headrace-replayed"
# On a marker in a topic of dead letters or parked messages: partition/offset of what was replayed. It has no value.
DONE = "headrace-done"

# Those that are set again by each move; the others go along.
_SET = frozenset((ATTEMPT, ORIGIN, FIRST_SEEN, MOVED, NOT_BEFORE, CAUSE, STACK, SIZE, SHA256, DONE))
# Of a number in a header: more is nobody's attempt, and Python refuses to read thousands.
_DIGITS_MAX = 15
# Kafka's topics have names of 249 bytes at most.
_PLACE_BYTES_MAX = 300


def delivery_of(stored: Stored) -> Delivery:
    """The message as a handler sees it."""
    record = stored.record
    delivery = Delivery(
        record.topic,
        stored.partition,
        stored.offset,
        record.key,
        record.value,
        dict(record.headers),
        stored.timestamp_ms,
    )
    read_way(delivery)
    return delivery


def read_way(delivery: Delivery) -> None:
    """Sets `attempt` and `replayed` from the headers. An attempt that is no number counts as the first."""
    delivery.attempt = max(number(delivery.headers, ATTEMPT), 1)
    delivery.replayed = REPLAYED in delivery.headers


def number(headers: Mapping[str, bytes], name: str) -> int:
    """The number in a header; 0 where there is none."""
    value = headers.get(name)
    return int(value) if value and value.isdigit() and len(value) <= _DIGITS_MAX else 0


def text(headers: Mapping[str, bytes], name: str) -> str:
    """The text in a header; empty where there is none."""
    return (headers.get(name) or b"").decode("utf-8", "replace")


def place(topic: str, partition: int, offset: int) -> bytes:
    """A message's place, as these headers name it."""
    return f"{topic}/{partition}/{offset}".encode()


def parse_place(value: str) -> tuple[str, int, int] | None:
    """Topic, partition and offset of a place; None for a text that is none."""
    topic, _, rest = value.partition("/")
    partition, _, offset = rest.partition("/")
    return (topic, int(partition), int(offset)) if partition.isdecimal() and offset.isdecimal() else None


def own(message: Delivery) -> Headers:
    """The headers that go along on every way. Null ones, which the protocol allows, become empty."""
    return tuple((name, value or b"") for name, value in message.headers.items() if name not in _SET)


def moved(message: Delivery, attempt: int, now_ms: int, more: Headers = ()) -> Headers:
    """Its own headers, then those of a move."""
    here = place(message.topic, message.partition, message.offset)
    return (
        *own(message),
        (ATTEMPT, b"%d" % attempt),
        (ORIGIN, _origin(message) or here),
        (FIRST_SEEN, b"%d" % (number(message.headers, FIRST_SEEN) or now_ms)),
        (MOVED, b"%d" % now_ms),
        *more,
    )


def _origin(message: Delivery) -> bytes:
    """Its origin, empty where it says none, or what is none."""
    origin = message.headers.get(ORIGIN) or b""
    known = len(origin) <= _PLACE_BYTES_MAX and parse_place(origin.decode("utf-8", "replace"))
    return origin if known else b""


def returned(message: Delivery) -> Headers:
    """Its own headers, and those that it keeps when it comes back from a retry topic."""
    kept = ((name, message.headers.get(name)) for name in (ATTEMPT, ORIGIN, FIRST_SEEN))
    return (*own(message), *((name, value) for name, value in kept if value))


def replayed(message: Delivery) -> Headers:
    """Its own headers, where it stood first, and where it was taken from; its attempts begin again."""
    kept = ((name, message.headers.get(name)) for name in (ORIGIN, FIRST_SEEN))
    others = tuple(header for header in own(message) if header[0] != REPLAYED)
    here = place(message.topic, message.partition, message.offset)
    return (*others, *((name, value) for name, value in kept if value), (REPLAYED, here))
