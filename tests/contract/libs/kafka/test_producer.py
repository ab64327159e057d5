from __future__ import annotations

import asyncio
import threading
import time

import pytest

from libs.kafka import (
    BrokerUnavailableError,
    KafkaError,
    Producer,
    Reader,
    Record,
    RecordRefusedError,
    Stored,
    TopicSpec,
    TopicUnknownError,
)
from libs.testing.loop import run_real

from .conftest import World

# Far above what the settings of the tests allow (two seconds for a batch, one to connect); a hang is what it catches.
HANG_SECONDS = 15.0


def batch(topic: TopicSpec, count: int, keys: int = 4) -> list[Record]:
    return [Record(topic.name, b"k%d" % (n % keys), b"v%d" % n, (("n", b"%d" % n),)) for n in range(count)]


async def held(reader: Reader, topic: TopicSpec) -> list[Stored]:
    return [stored async for some in reader.read_all(topic.name) for stored in some]


def by_key(stored: list[Stored]) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for item in stored:
        found.setdefault(item.record.key, []).append(item.record.value)
    return found


async def until_sent(producer: Producer, records: list[Record]) -> int:
    """Number of tries."""
    end = time.monotonic() + HANG_SECONDS
    for tried in range(1, 1000):
        try:
            await producer.send(records)
        except BrokerUnavailableError:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
        else:
            return tried
    raise AssertionError


def test_every_record_arrives_whole_and_in_order_per_key(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        producer = world.producer(topic)
        sent = batch(topic, 500)
        await producer.send(sent[:200])
        await producer.send([])
        await producer.send(sent[200:])
        await producer.close()
        stored = await held(world.reader(), topic)
        assert {item.record for item in stored} == set(sent)
        assert len(stored) == len(sent)
        assert by_key(stored) == {b"k%d" % k: [b"v%d" % n for n in range(k, 500, 4)] for k in range(4)}

    run_real(main())


def test_a_key_stays_in_its_partition(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        for _ in range(2):  # of another producer too
            producer = world.producer(topic)
            await producer.send(batch(topic, 60, keys=20))
            await producer.close()
        stored = await held(world.reader(), topic)
        places: dict[bytes, set[int]] = {}
        for item in stored:
            places.setdefault(item.record.key, set()).add(item.partition)
        assert all(len(found) == 1 for found in places.values())
        assert len({item.partition for item in stored}) == topic.partitions

    run_real(main())


def test_sending_at_once_is_one_after_the_other(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        producer = world.producer(topic)
        batches = [[Record(topic.name, b"one", b"%d-%d" % (b, n)) for n in range(20)] for b in range(8)]
        await asyncio.gather(*(producer.send(records) for records in batches))
        await producer.close()
        values = by_key(await held(world.reader(), topic))[b"one"]
        runs = [values[start : start + 20] for start in range(0, 160, 20)]
        assert sorted(runs) == sorted([record.value for record in records] for records in batches)

    run_real(main())


def test_an_empty_topic_reads_as_nothing(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        producer = world.producer(topic, TopicSpec(topic.name + "-other", 1))
        await producer.send([Record(topic.name + "-other", b"k", b"v")])
        await producer.close()
        assert await held(world.reader(), topic) == []

    run_real(main())


def test_an_unknown_topic_is_an_error_and_is_not_made_by_asking(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        producer = world.producer(topic, create_topics=False)
        for _ in range(2):
            with pytest.raises(TopicUnknownError):
                await producer.send(batch(topic, 1))
            with pytest.raises(TopicUnknownError):
                await held(world.reader(), topic)
        await producer.close()

    run_real(main())


def test_a_record_too_large_is_refused_with_all_of_its_batch(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        producer = world.producer(topic, record_bytes_max=10_000)
        good, large = Record(topic.name, b"k", b"v"), Record(topic.name, b"k", b"x" * 10_001)
        with pytest.raises(RecordRefusedError, match="record_bytes_max"):
            await producer.send([good, large, good])
        await producer.send([good])
        await producer.close()
        assert [item.record for item in await held(world.reader(), topic)] == [good]

    run_real(main())


def test_an_absent_broker_is_an_error_in_time_and_is_found_when_it_comes(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        world.kill()
        try:
            producer = world.producer(topic)
            before = threads()
            for _ in range(3):
                async with asyncio.timeout(HANG_SECONDS):
                    with pytest.raises(BrokerUnavailableError):
                        await producer.send(batch(topic, 3))
            assert threads() - before <= {"kafka-producer"}
            with pytest.raises(KafkaError):
                await held(world.reader(), topic)
        finally:
            world.start()
        await until_sent(producer, batch(topic, 3))
        await producer.close()
        assert len(await held(world.reader(), topic)) == 3

    run_real(main())


def test_after_a_kill_in_the_middle_the_first_occurrences_are_in_order(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        producer = world.producer(topic)
        sent = batch(topic, 3_000)
        await producer.send(sent[:1_000])
        sending = asyncio.ensure_future(producer.send(sent[1_000:]))
        await asyncio.sleep(0)
        world.kill()
        await asyncio.gather(sending, return_exceptions=True)
        world.start()
        begin = 1_000 if world.keeps else 0
        await until_sent(producer, sent[begin:])
        await producer.close()
        first = {key: list(dict.fromkeys(values)) for key, values in by_key(await held(world.reader(), topic)).items()}
        assert first == {b"k%d" % k: [b"v%d" % n for n in range(k, 3_000, 4)] for k in range(4)}

    run_real(main())


def test_a_frozen_broker_costs_an_error_in_time_and_no_turn_of_the_loop(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        producer = world.producer(topic)
        await producer.send(batch(topic, 1))
        world.freeze()
        try:
            turns = 0
            sending = asyncio.ensure_future(producer.send(batch(topic, 2)))
            began = time.monotonic()
            while not sending.done():
                await asyncio.sleep(0.01)
                turns += 1
                assert time.monotonic() < began + HANG_SECONDS
            with pytest.raises(BrokerUnavailableError):
                sending.result()
            # A loop that waits for the broker gets a handful of turns in two seconds.
            assert world.memory or turns > 20
        finally:
            world.thaw()
        await until_sent(producer, batch(topic, 2))
        await producer.close()
        stored = await held(world.reader(), topic)
        assert {item.record.value for item in stored} == {b"v0", b"v1"}

    run_real(main())


def test_closing_waits_for_no_broker_and_leaves_no_thread(world: World, topic: TopicSpec) -> None:
    before = threads()

    async def main() -> None:
        producer = world.producer(topic, close_timeout_ms=200, send_timeout_ms=60_000)
        await producer.send(batch(topic, 1))
        world.freeze()
        try:
            sending = asyncio.ensure_future(producer.send(batch(topic, 2)))
            await asyncio.sleep(0.05)
            async with asyncio.timeout(HANG_SECONDS):
                await producer.close()
            await producer.close()
            with pytest.raises(BrokerUnavailableError):
                await producer.send(batch(topic, 1))
            async with asyncio.timeout(HANG_SECONDS):
                with pytest.raises(BrokerUnavailableError):
                    await sending
        finally:
            world.thaw()

    run_real(main())
    end = time.monotonic() + HANG_SECONDS
    while threads() - before:
        assert time.monotonic() < end, threads() - before
        time.sleep(0.02)


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}
