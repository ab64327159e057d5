"""Dead letters and parked messages go back to where they came from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from libs.clock import Clock
from libs.kafka.handling import Delivery
from libs.kafka.letter_box import Place, marks, messages
from libs.kafka.letter_headers import DONE, MOVED, SHA256, replayed
from libs.kafka.letter_topics import consumed_topic
from libs.kafka.ports import Producer, Reader, Record

_RECORDS_MAX = 200
_BYTES_MAX = 4 * 2**20


@dataclass(slots=True)
class Replayed:
    """What a replay came to: messages that were sent back, and stubs, whose values are not there to be sent."""

    count: int = 0
    stubs: int = 0


async def replay(reader: Reader, producer: Producer, topic: str, places: Collection[Place], clock: Clock) -> Replayed:
    """Sends messages of a topic of dead letters or parked ones back to the topic that they came from, and marks them.

    They are produced first and marked then, batch by batch: after a failure in between a repeat sends some of them
    twice, which an idempotent consumer does not mind. Raises KafkaError.
    """
    done, batch = Replayed(), []
    send = partial(_send_back, producer, clock)
    async for message in messages(reader, topic):
        if (message.partition, message.offset) not in places or marks(message):
            continue
        if SHA256 in message.headers:
            done.stubs += 1
            continue
        batch.append(message)
        if len(batch) >= _RECORDS_MAX or sum(len(each.value) for each in batch) >= _BYTES_MAX:
            await send(batch)
            done.count, batch = done.count + len(batch), []
    await send(batch)
    done.count += len(batch)
    return done


async def _send_back(producer: Producer, clock: Clock, batch: Sequence[Delivery]) -> None:
    await producer.send([Record(consumed_topic(each.topic), each.key, each.value, replayed(each)) for each in batch])
    now = b"%d" % round(clock.unix() * 1000)
    await producer.send([_marker(each, now) for each in batch])


def _marker(message: Delivery, now: bytes) -> Record:
    done = f"{message.partition}/{message.offset}".encode()
    return Record(message.topic, message.key, b"", ((DONE, done), (MOVED, now)))
