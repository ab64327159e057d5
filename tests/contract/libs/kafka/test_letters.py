"""Bad messages among good ones, through consumer, letters, retry topics and the tools, on every broker."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from headrace.events.v1.jobs_pb2 import JobRequested
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from libs.clock import SystemClock
from libs.kafka import Record, TopicSpec
from libs.kafka.consumer import Consumer, ConsumerMetrics
from libs.kafka.events import decode, event_record
from libs.kafka.handling import Delivery, RetryLaterError
from libs.kafka.letter_box import Box, Letter, read_box
from libs.kafka.letter_settings import LetterSettings, for_letters
from libs.kafka.letter_tools import replay
from libs.kafka.letter_topics import consumed_topic, dead_topic, parked_topic, retry_topics, topics_beside
from libs.kafka.letters import TopicLetters
from libs.kafka.ports import Producer
from libs.kafka.retry_pump import RetryPump
from libs.kafka.settings import ConsumerSettings
from libs.telemetry.metrics import Registry
from libs.testing.loop import run_real
from tools.kafka_node import KafkaNode

from .conftest import World

HANG_SECONDS = 40.0
LARGE = b"\xff" * (10 * 2**20)
EVENT_HEADERS = "ce_specversion, ce_id, ce_type, ce_source, ce_time, ce_dataschema, content-type"
SETTINGS = LetterSettings(retry_seconds=(0.2, 0.4))
CLOCK = SystemClock()


@dataclass
class Parts:
    """A handler with an effect per part. `fails` so often per part before it does it; knows one schema version."""

    version: int = 1
    fails: dict[int, int] = field(default_factory=dict)
    effects: Counter[int] = field(default_factory=Counter)
    order: list[int] = field(default_factory=list)
    attempts: dict[int, int] = field(default_factory=dict)

    async def handle(self, message: Delivery) -> None:
        part = decode(message, JobRequested, self.version).part.part
        if self.fails.get(part, 0) >= message.attempt:
            raise RetryLaterError("no worker")
        self.effects[part] += 1
        self.order.append(part)
        self.attempts[part] = message.attempt


def event(topic: TopicSpec, part: int, key: bytes = b"", version: int = 1) -> Record:
    value = JobRequested(tenant="t1", part=JobRequested.Part(job="job_1", part=part))
    return event_record(
        topic=topic.name, key=key or b"%d" % part, value=value, source="x", id=f"e{part}", time=1.0,
        schema_version=version,
    )  # fmt: skip


@dataclass
class Line:
    """Everything beside a topic: its producer of letters, and what consumes it and its retry topics."""

    world: World
    topic: TopicSpec
    settings: LetterSettings
    producer: Producer
    letters: TopicLetters

    @asynccontextmanager
    async def consumed_by(self, handler: Parts) -> AsyncIterator[None]:
        near = {"session_timeout_ms": 6_000, "commit_seconds": 0.0}
        consumer_settings, metrics = ConsumerSettings.model_validate(near), ConsumerMetrics(Registry())
        beside = [spec for spec in topics_beside([self.topic], self.settings) if "retry" in spec.name]
        source = self.world.source(consumer_settings, "parts", self.topic)
        retries = self.world.source(consumer_settings, "parts-retries", *beside)
        consumer = Consumer(source, handler, self.letters, CLOCK, consumer_settings, metrics)
        pump = RetryPump(retries, self.producer, self.letters, CLOCK, self.settings, metrics)
        tasks = [asyncio.create_task(consumer.run()), asyncio.create_task(pump.run())]
        try:
            yield
        finally:
            await asyncio.gather(consumer.drain(5), pump.drain(5))
            await asyncio.gather(*tasks)

    async def box(self, topic: str) -> Box:
        return await read_box(self.world.reader(), topic)

    async def letters_in(self, topic: str) -> list[Letter]:
        """Those that wait there, once there are any."""
        end = time.monotonic() + HANG_SECONDS
        while not (letters := (await self.box(topic)).waiting):
            assert time.monotonic() < end, f"nothing came to {topic}"
            await asyncio.sleep(0.05)
        return letters


@asynccontextmanager
async def line(world: World, settings: LetterSettings = SETTINGS) -> AsyncIterator[Line]:
    topic = TopicSpec(f"test-{uuid4().hex[:12]}", partitions=3)
    topics = (topic, *topics_beside([topic], settings))
    kafka = for_letters(world.settings())
    producer = world.producer(*topics, record_bytes_max=kafka.record_bytes_max, send_timeout_ms=20_000)
    try:
        yield Line(world, topic, settings, producer, TopicLetters(producer, settings, CLOCK))
    finally:
        await producer.close()


async def until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + HANG_SECONDS
    while not true():
        assert time.monotonic() < end, f"it did not come to it: {what}"
        await asyncio.sleep(0.01)


async def put(world: World, topic: TopicSpec, *records: Record) -> None:
    """As a producer does that may send what ours may not."""
    producer = world.producer(topic, record_bytes_max=11 * 2**20, send_timeout_ms=20_000)
    await producer.send(records)
    await producer.close()


def test_bad_messages_go_aside_and_good_ones_do_not_notice(world: World) -> None:
    run_real(_bad_messages_go_aside_and_good_ones_do_not_notice(world))


async def _bad_messages_go_aside_and_good_ones_do_not_notice(world: World) -> None:
    good = 60
    async with line(world) as made:
        topic = made.topic
        bad = [
            Record(topic.name, b"k", b"\xff\xff", event(topic, 0).headers),
            Record(topic.name, b"k", b"no event at all"),
            Record(topic.name, b"k", LARGE, event(topic, 0).headers),
            event(topic, 1_000, version=2),
        ]
        mixed = [event(topic, part, key=b"a") for part in range(good)]
        for place, record in zip((50, 30, 20, 10), bad, strict=True):
            mixed.insert(place, Record(record.topic, b"a", record.value, record.headers))
        await put(world, topic, *mixed)
        handler = Parts()
        async with made.consumed_by(handler):
            await until(lambda: len(handler.effects) == good, "all good messages have their effect")
        assert handler.effects == Counter(dict.fromkeys(range(good), 1))
        assert sorted(handler.order) == list(range(good))
        dead = (await made.box(dead_topic(topic.name))).waiting
        assert sorted(letter.cause for letter in dead) == [
            f"PoisonError: {len(LARGE)} bytes that are no JobRequested",
            "PoisonError: 2 bytes that are no JobRequested",
            f"PoisonError: no event: it lacks the headers {EVENT_HEADERS}",
        ]
        (parked,) = (await made.box(parked_topic(topic.name))).waiting
        assert parked.schema.endswith("/2")
        await _originals_stand(world, made, [*dead, parked])


async def _originals_stand(world: World, made: Line, letters: list[Letter]) -> None:
    """Each letter's origin names the very message."""
    values = {
        (stored.record.topic, stored.partition, stored.offset): stored.record.value
        async for batch in world.reader().read_all(made.topic.name)
        for stored in batch
    }
    assert len({letter.origin for letter in letters}) == 4
    for letter in letters:
        assert len(values[letter.origin]) == letter.size_bytes
    (stub,) = (letter for letter in letters if letter.stub)
    assert values[stub.origin] == LARGE
    async for batch in world.reader().read_all(dead_topic(made.topic.name)):
        for stored in batch:
            if (told := dict(stored.record.headers)).get("headrace-size"):
                assert told["headrace-sha256"].decode() == hashlib.sha256(LARGE).hexdigest()
                assert stored.record.value == b""


def test_what_passes_is_done_later_and_what_does_not_is_dead(world: World) -> None:
    run_real(_what_passes_is_done_later_and_what_does_not_is_dead(world))


async def _what_passes_is_done_later_and_what_does_not_is_dead(world: World) -> None:
    async with line(world) as made:
        await made.producer.send([event(made.topic, part) for part in range(6)])
        handler = Parts(fails={1: 1, 2: 2, 3: 99})
        dead = dead_topic(made.topic.name)
        async with made.consumed_by(handler):
            await until(lambda: len(handler.effects) == 5, "what passes is done")
            (letter,) = await made.letters_in(dead)
        assert handler.attempts == {0: 1, 1: 2, 2: 3, 4: 1, 5: 1}
        assert (letter.cause, letter.attempts, letter.event_id) == ("RetryLaterError: no worker", 3, "e3")
        assert letter.origin is not None
        assert letter.origin[0] == made.topic.name
        for retry in retry_topics(made.topic.name, SETTINGS.steps):
            assert consumed_topic(retry) == made.topic.name


def test_what_waits_outlives_its_pump(world: World) -> None:
    run_real(_what_waits_outlives_its_pump(world))


async def _what_waits_outlives_its_pump(world: World) -> None:
    async with line(world, LetterSettings(retry_seconds=(5.0,))) as made:
        await made.producer.send([event(made.topic, part) for part in range(8)])
        handler = Parts(fails=dict.fromkeys(range(8), 1))
        retries = retry_topics(made.topic.name, 1)[0]
        async with made.consumed_by(handler):
            end = time.monotonic() + HANG_SECONDS
            while len((await made.box(retries)).letters) < len(handler.fails):
                assert time.monotonic() < end, "all wait in the retry topic"
                await asyncio.sleep(0.02)
        assert not handler.effects
        # Two members share the partitions of what waits.
        async with made.consumed_by(handler), made.consumed_by(handler):
            await until(lambda: len(handler.effects) == len(handler.fails), "what waited is done")
        assert set(handler.attempts.values()) == {2}


def test_dead_and_parked_messages_come_back_by_command(world: World) -> None:
    run_real(_dead_and_parked_messages_come_back_by_command(world))


async def _dead_and_parked_messages_come_back_by_command(world: World) -> None:
    async with line(world) as made:
        topic = made.topic
        broken = Record(topic.name, b"k", b"\xff", event(topic, 1).headers)
        await made.producer.send([event(topic, 0), broken, event(topic, 2, version=2)])
        handler = Parts()
        parked, dead = parked_topic(topic.name), dead_topic(topic.name)
        async with made.consumed_by(handler):
            await until(lambda: handler.effects[0] == 1, "the good one is done")
            await made.letters_in(parked)
            await made.letters_in(dead)
        for name in (parked, dead):
            places = {letter.place for letter in (await made.box(name)).waiting}
            done = await replay(world.reader(), made.producer, name, places, CLOCK)
            assert (done.count, done.stubs) == (1, 0)
            assert not (await made.box(name)).waiting
        later = Parts(version=2)
        async with made.consumed_by(later):
            await until(lambda: later.effects[2] == 1, "the version that knows it does it")
            (again,) = await made.letters_in(dead)
        assert again.replayed_from == f"{dead}/0/0"
        assert again.origin is not None
        assert again.origin[0] == topic.name


@pytest.mark.kafka
def test_topics_of_letters_keep_them_for_as_long_as_is_said(apache: KafkaNode) -> None:
    async def main() -> str:
        async with line(World("apache", process=apache.broker)) as made:
            await made.producer.send([event(made.topic, 0)])
            return dead_topic(made.topic.name)

    dead = run_real(main())
    with closing(KafkaAdminClient(bootstrap_servers=list(apache.broker.settings().brokers))) as admin:
        told = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, dead)])
    assert told["topic"][dead]["retention.ms"]["value"] == str(round(SETTINGS.keep_days * 86_400_000))
