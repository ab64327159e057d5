"""Moves messages that a handler would not take: to retry topics, to the dead letters, to parking."""

from __future__ import annotations

import hashlib

import structlog

from libs.clock import Clock
from libs.kafka.causes import cause_of, stack_of
from libs.kafka.dead_limit import DeadLimit
from libs.kafka.errors import RecordRefusedError
from libs.kafka.gathering import GatheringProducer
from libs.kafka.handling import Delivery, NewerSchemaError, PoisonError, RetryLaterError
from libs.kafka.letter_headers import CAUSE, NOT_BEFORE, SHA256, SIZE, STACK, Headers, moved, own
from libs.kafka.letter_settings import LetterSettings
from libs.kafka.letter_topics import consumed_topic, dead_topic, parked_topic, retry_topic
from libs.kafka.ports import Producer, Record

_log = structlog.get_logger(__name__)
# Whose texts are written to be read; any other's may quote what was being worked on.
_PLAIN_ERRORS = (PoisonError, RetryLaterError, NewerSchemaError)
# Of a stub: what could have made the message too large is cut too, so that the stub fits (`for_letters`).
_STUB_KEY_BYTES_MAX = 1024
_STUB_HEADER_BYTES_MAX = 256
_STUB_HEADERS_MAX = 12


class TopicLetters:
    """Implements `Letters`. One serves all consumers of a process.

    The producer needs the topics of `letter_topics.topics_beside` and the settings of `letter_settings.for_letters`.
    Messages that are moved at the same time go out together.
    """

    def __init__(self, producer: Producer, settings: LetterSettings, clock: Clock) -> None:
        self._producer, self._settings, self._clock = GatheringProducer(producer), settings, clock
        self._limit = DeadLimit(settings.dead_letters_max, settings.dead_letters_window_seconds, clock)

    async def retry(self, message: Delivery, error: Exception) -> None:
        """See Letters."""
        last = self._settings.steps
        if message.attempt > last and not (isinstance(error, RetryLaterError) and error.lasting):
            await self.dead(message, error)
            return
        try:
            await self._producer.send([self._again(message, min(message.attempt, last), error)])
        except RecordRefusedError:
            await self.dead(message, error)

    async def dead(self, message: Delivery, error: Exception) -> None:
        """See Letters. Of a message that is too large to be moved, a stub with its size, hash and origin is."""
        topic, cause = consumed_topic(message.topic), cause_of(error)
        told = cause if isinstance(error, _PLAIN_ERRORS) else type(error).__name__
        with self._limit.one(topic, told):
            more = ((CAUSE, cause.encode()), (STACK, stack_of(error)))
            await self._move_or_stub(message, dead_topic(topic), more)
        _log.warning("dead letter", topic=topic, partition=message.partition, offset=message.offset, cause=told)

    async def park(self, message: Delivery) -> None:
        """See Letters. Of a message that is too large to be moved, a stub with its size, hash and origin is."""
        await self._move_or_stub(message, parked_topic(consumed_topic(message.topic)))

    def _again(self, message: Delivery, step: int, error: Exception) -> Record:
        now_ms = self._now_ms()
        not_before = now_ms + round(self._settings.retry_seconds[step - 1] * 1000)
        more = ((NOT_BEFORE, b"%d" % not_before), (CAUSE, cause_of(error).encode()))
        topic = retry_topic(consumed_topic(message.topic), step)
        return Record(topic, message.key, message.value, moved(message, message.attempt + 1, now_ms, more))

    async def _move_or_stub(self, message: Delivery, topic: str, more: Headers = ()) -> None:
        headers = moved(message, message.attempt, self._now_ms(), more)
        try:
            await self._producer.send([Record(topic, message.key, message.value, headers)])
        except RecordRefusedError:
            await self._producer.send([_stub(message, topic, headers)])

    def _now_ms(self) -> int:
        return round(self._clock.unix() * 1000)


def _stub(message: Delivery, topic: str, headers: Headers) -> Record:
    """What is left of a message that is too large: the original stays where its origin says, for the topic's time."""
    theirs = own(message)
    small = [each for each in theirs if len(each[0]) + len(each[1]) <= _STUB_HEADER_BYTES_MAX]
    told = (
        (SIZE, b"%d" % len(message.value)),
        (SHA256, hashlib.sha256(message.value).hexdigest().encode()),
    )
    kept = (*small[:_STUB_HEADERS_MAX], *headers[len(theirs) :], *told)
    return Record(topic, message.key[:_STUB_KEY_BYTES_MAX], b"", kept)
