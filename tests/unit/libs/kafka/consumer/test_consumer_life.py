import asyncio

import pytest

from libs.kafka import Record, TopicSpec
from libs.kafka.consumer import Consumer, ConsumerMetrics, Phase
from libs.kafka.handling import PoisonError
from libs.kafka.letters_port import StopConsumingError
from libs.kafka.settings import ConsumerSettings
from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from libs.testing.kafka import MemoryBroker, MemorySource
from libs.testing.letters import MemoryLetters
from libs.testing.loop import run

TOPIC = TopicSpec("t", 2)
A_WHILE = 60.0


class Slow:
    """Takes so many seconds for a message; `raises` by value."""

    def __init__(self, seconds=0.0, raises=None):
        self.seconds, self.raises = seconds, raises or {}
        self.began, self.done, self.cancelled = [], [], []

    async def handle(self, message):
        self.began.append(message.value)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled.append(message.value)
            raise
        if message.value in self.raises:
            raise self.raises[message.value]
        self.done.append(message.value)


class World:
    def __init__(self, handler, count=10, **changes):
        self.broker, self.letters, self.registry = MemoryBroker(), MemoryLetters(), Registry()
        self.broker.create(TOPIC)
        for n in range(count):
            self.broker.append(Record(TOPIC.name, b"k%d" % n, b"v%d" % n))
        self.settings = ConsumerSettings(**{"commit_seconds": 0.0, **changes})
        self.source = MemorySource(self.broker, self.settings, "g", [TOPIC])
        metrics = ConsumerMetrics(self.registry)
        self.consumer = Consumer(self.source, handler, self.letters, FakeClock(), self.settings, metrics)

    def start(self):
        return asyncio.ensure_future(self.consumer.run())

    def committed(self):
        return sum(self.broker.groups["g"].offsets.values())


def test_draining_waits_for_what_a_handler_has_and_begins_nothing_more():
    async def main():
        handler = Slow(seconds=2.0)
        world = World(handler, inflight_max=4)
        running = world.start()
        await asyncio.sleep(1.0)
        began = asyncio.get_running_loop().time()
        await world.consumer.drain(10.0)
        assert asyncio.get_running_loop().time() - began == pytest.approx(1.0, abs=0.1)
        await running
        assert len(handler.began) == len(handler.done) == 4
        assert world.consumer.phase is Phase.JOINED
        assert world.broker.groups["g"].members == []
        assert world.committed() <= 4

    run(main())


def test_closed_it_begins_nothing_and_stays_a_member_until_it_is_joined():
    async def main():
        handler = Slow(seconds=2.0)
        world = World(handler, inflight_max=4)
        running = world.start()
        await asyncio.sleep(1.0)
        world.consumer.close()
        await asyncio.sleep(A_WHILE)
        assert len(handler.began) == len(handler.done) == 4
        assert len(world.broker.groups["g"].members) == 1
        await world.consumer.drain(1.0)
        await running

    run(main())


def test_a_grace_that_is_over_cuts_handlers_off_and_commits_nothing_of_theirs():
    async def main():
        handler = Slow(seconds=100.0)
        world = World(handler, inflight_max=4)
        running = world.start()
        await asyncio.sleep(1.0)
        await world.consumer.drain(3.0)
        await running
        assert sorted(handler.cancelled) == sorted(handler.began)
        assert world.committed() == 0

    run(main())


def test_a_process_that_ends_at_once_cancels_and_leaves_the_group():
    async def main():
        handler = Slow(seconds=100.0)
        world = World(handler)
        running = world.start()
        await asyncio.sleep(1.0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert len(handler.cancelled) == 10
        assert world.consumer.phase is Phase.JOINED
        assert world.broker.groups["g"].members == []

    run(main())


def test_ending_is_done_once_whoever_asks_and_however_often():
    async def main():
        world = World(Slow(seconds=1.0))
        running = world.start()
        await asyncio.sleep(0.5)
        await asyncio.gather(world.consumer.drain(5.0), world.consumer.join(5.0), world.consumer.drain(5.0))
        await world.consumer.drain(5.0)
        world.consumer.close()
        world.consumer.terminate()
        await running
        await world.consumer.run()
        assert world.consumer.phase is Phase.JOINED

    run(main())


def test_a_consumer_that_never_ran_ends_too():
    async def main():
        world = World(Slow())
        await world.consumer.drain(1.0)
        assert world.consumer.phase is Phase.JOINED

    run(main())


def test_letters_that_say_stop_end_it_with_their_reason_and_keep_what_was_done():
    async def main():
        handler = Slow(seconds=1.0, raises={b"v9": PoisonError("bad")})
        world = World(handler, inflight_max=5)
        world.letters.fails_with = StopConsumingError("look at the last deploy")
        with pytest.raises(StopConsumingError, match="last deploy"):
            async with asyncio.timeout(A_WHILE):
                await world.start()
        assert world.consumer.phase is Phase.JOINED
        assert b"v9" not in handler.done
        again = MemorySource(world.broker, world.settings, "g", [TOPIC])
        await again.poll()
        left = [message.value for each in (await again.poll()).fetched for message in each.messages]
        assert b"v9" in left
        assert set(left) | set(handler.done) == {b"v%d" % n for n in range(10)}
        await again.close()

    run(main())


def test_what_would_lose_messages_ends_it():
    """A fault of its own is the process's end, so that its supervisor starts it again."""

    class Broken(Slow):
        async def handle_batch(self, messages):
            return [None] * (len(messages) + 1)

    async def main():
        world = World(Broken())
        with pytest.raises(RuntimeError, match="results"):
            async with asyncio.timeout(A_WHILE):
                await world.start()
        assert world.committed() == 0

    run(main())


def test_a_source_that_breaks_ends_it():
    async def main():
        world = World(Slow())
        world.source._fetch = lambda: 1 / 0
        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(A_WHILE):
                await world.start()
        assert world.broker.groups["g"].members == []

    run(main())


def test_handlers_of_a_partition_that_was_lost_are_cancelled():
    async def main():
        handler = Slow(seconds=5.0)
        world = World(handler)
        running = world.start()
        await asyncio.sleep(1.0)
        world.source.expire()
        await asyncio.sleep(1.0)
        assert len(handler.cancelled) == 10
        await asyncio.sleep(6.0)
        assert sorted(handler.done) == sorted(b"v%d" % n for n in range(10))
        await world.consumer.drain(1.0)
        await running

    run(main())


def test_it_holds_so_many_and_gives_its_handlers_so_many():
    async def main():
        handler = Slow(seconds=1.0)
        world = World(handler, count=400, inflight_max=7, held_messages_max=40, poll_records_max=10)
        running = world.start()
        most = 0
        for _ in range(100):
            await asyncio.sleep(0.1)
            lanes = world.consumer._lanes.all()
            most = max(most, sum(lane.count for lane in lanes))
            assert len(handler.began) - len(handler.done) <= 7
        assert 40 <= most <= 40 + 2 * 10
        await world.consumer.drain(5.0)
        await running

    run(main())
