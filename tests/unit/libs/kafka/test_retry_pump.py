import asyncio
from contextlib import asynccontextmanager

import pytest

from libs.kafka import BrokerUnavailableError, KafkaSettings, TopicSpec
from libs.kafka.consumer import ConsumerMetrics
from libs.kafka.consumer.port import Claim, Fetched, Polled
from libs.kafka.handling import Delivery, RetryLaterError
from libs.kafka.letter_headers import delivery_of
from libs.kafka.letter_settings import LetterSettings, for_letters
from libs.kafka.letter_topics import topics_beside
from libs.kafka.letters import TopicLetters
from libs.kafka.letters_port import StopConsumingError
from libs.kafka.ports import Stored
from libs.kafka.retry_pump import RetryPump
from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from libs.testing.kafka import MemoryBroker, MemoryProducer
from libs.testing.loop import run

TOPICS = (TopicSpec("t", 1), TopicSpec("u", 1))
SHORT, LONG = Claim("t.retry-1", 0), Claim("t.retry-2", 0)


class Scripted:
    """A Source that hands out what the test puts in."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[Polled | Exception] = asyncio.Queue()
        self.commits: list[dict[Claim, int]] = []
        self.flows: list[tuple[set[Claim], bool]] = []
        self.over: set[Claim] = set()
        self.commit_error: Exception | None = None
        self.committing = asyncio.Event()
        self.committing.set()
        self.polls = 0
        self.closed = False

    async def poll(self):
        self.polls += 1
        news = await self.news.get()
        if isinstance(news, Exception):
            raise news
        return news

    async def commit(self, offsets):
        await self.committing.wait()
        if self.commit_error:
            raise self.commit_error
        self.commits.append(dict(offsets))
        return self.over & set(offsets)

    def flow(self, claims, *, paused):
        self.flows.append((set(claims), paused))

    async def close(self):
        self.closed = True


class World:
    def __init__(self, **settings: object) -> None:
        self.broker, self.clock, self.source = MemoryBroker(), FakeClock(), Scripted()
        self.settings = LetterSettings.model_validate({"retry_seconds": (30, 300), **settings})
        topics = (*TOPICS, *topics_beside(TOPICS, self.settings))
        self.producer = MemoryProducer(self.broker, topics, for_letters(KafkaSettings(record_bytes_max=1_000)))
        self.letters = TopicLetters(self.producer, self.settings, self.clock)
        self.registry = Registry()
        metrics = ConsumerMetrics(self.registry)
        self.pump = RetryPump(self.source, self.producer, self.letters, self.clock, self.settings, metrics)

    @asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.pump.run())
        yield task
        self.pump.close()
        await task
        assert self.source.closed

    def hand_out(self, claim: Claim, *messages: Delivery, **more: object) -> None:
        self.source.news.put_nowait(Polled(fetched=[Fetched(claim, messages, 0)], **more))

    def returned(self, topic: str = "t") -> list[bytes]:
        return [record.value for record in self.broker.records(topic)]

    async def after(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        await asyncio.sleep(0.001)  # of the virtual loop: whatever is due now has run


def waiting(world: World, claim: Claim, offset: int, seconds: float, value: bytes = b"") -> Delivery:
    """A message of a retry topic that may return in so many seconds."""
    not_before = round((world.clock.unix() + seconds) * 1000)
    headers = {
        "ce_id": b"e1",
        "headrace-attempt": b"2",
        "headrace-origin": b"t/0/5",
        "headrace-not-before": b"%d" % not_before,
        "headrace-cause": b"x",
    }
    return Delivery(claim.topic, claim.partition, offset, b"k", value or b"%d" % offset, headers, 0, 2)


def test_a_message_returns_when_its_time_has_come_and_not_before():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 7, 30), assigned=[SHORT])
            await world.after(29.9)
            assert not world.returned()
            assert not world.source.commits
            await world.after(0.2)
            assert world.returned() == [b"7"]
            assert world.source.commits == [{SHORT: 8}]

    run(main())


def test_what_returns_is_the_message_one_attempt_later():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 7, 0), assigned=[SHORT])
            await world.after(1)
        (record,) = world.broker.records("t")
        message = delivery_of(Stored(record, 0, 0))
        assert (message.key, message.value, message.attempt) == (b"k", b"7", 2)
        assert set(message.headers) == {"ce_id", "headrace-attempt", "headrace-origin"}

    run(main())


def test_the_stairs_end_to_end():
    """Through both retry topics and into the dead letters, with the origin of the first time."""

    async def main():
        world = World()
        message = Delivery("t", 0, 5, b"k", b"v", {"ce_id": b"e1"})
        async with world.running():
            for offset, (claim, seconds) in enumerate(((SHORT, 30), (LONG, 300))):
                await world.letters.retry(message, RetryLaterError("no"))
                (stored,) = world.broker.topics[claim.topic][0]
                world.hand_out(claim, delivery_of(stored), assigned=[claim])
                await world.after(seconds - 1)
                assert len(world.returned()) == offset
                await world.after(2)
                message = delivery_of(world.broker.topics["t"][0][offset])
            await world.letters.retry(message, RetryLaterError("no"))
        (dead,) = world.broker.records("t.dead")
        assert dict(dead.headers)["headrace-attempt"] == b"3"
        assert dict(dead.headers)["headrace-origin"] == b"t/0/5"

    run(main())


def test_a_partition_that_waits_is_paused_and_holds_up_no_other():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(LONG, waiting(world, LONG, 0, 300), assigned=[LONG, SHORT])
            world.hand_out(SHORT, waiting(world, SHORT, 0, 10), waiting(world, SHORT, 1, 20))
            await world.after(0.1)
            assert world.source.flows == [({LONG}, True), ({SHORT}, True)]
            await world.after(10)
            assert world.returned() == [b"0"]
            assert world.pump.waiting == 2
            await world.after(10)
            assert world.source.commits == [{SHORT: 1}, {SHORT: 2}]
            assert world.source.flows[2:] == [({SHORT}, False)]

    run(main())


def test_what_is_due_when_it_comes_returns_without_a_pause():
    async def main():
        world = World()
        async with world.running():
            messages = [waiting(world, SHORT, offset, -5) for offset in range(1_200)]
            world.hand_out(SHORT, *messages, assigned=[SHORT])
            await world.after(0.1)
            assert len(world.returned()) == 1_200
            assert world.source.commits == [{SHORT: 500}, {SHORT: 1000}, {SHORT: 1200}]
            assert not world.source.flows

    run(main())


def test_it_does_nothing_while_it_waits():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 0, 3000), assigned=[SHORT])
            await world.after(0.1)
            polls = world.source.polls
            turns = _turns(world)
            await world.after(20)
            assert world.source.polls == polls
            assert turns() == 0

    run(main())


def _turns(world: World):
    """How often the pump looked for messages since."""
    calls = []
    due = world.pump._lanes.due
    world.pump._lanes.due = lambda *given: calls.append(0) or due(*given)
    return lambda: len(calls)


def test_messages_of_a_lost_partition_are_left_to_its_owner():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 0, 10), assigned=[SHORT])
            await world.after(1)
            world.source.news.put_nowait(Polled(lost=[SHORT]))
            await world.after(20)
            assert not world.returned()
            assert not world.source.commits

    run(main())


def test_a_revoked_partition_is_let_go_and_comes_anew():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 0, 10), assigned=[SHORT])
            await world.after(1)
            world.source.news.put_nowait(Polled(revoked=[SHORT]))
            await world.after(1)
            assert world.pump.waiting == 0
            again = Claim(SHORT.topic, 0)
            world.hand_out(again, waiting(world, SHORT, 0, 8), assigned=[again])
            await world.after(9)
            assert world.returned() == [b"0"]
            assert world.source.commits == [{again: 1}]

    run(main())


def test_what_is_due_when_a_partition_is_revoked_is_returned_and_committed_first():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 0, 0), assigned=[SHORT], revoked=[SHORT])
            await world.after(1)
            assert world.source.commits == [{SHORT: 1}]

    run(main())


def test_a_commit_that_is_refused_drops_the_partition():
    async def main():
        world = World()
        world.source.over = {SHORT}
        async with world.running():
            messages = (waiting(world, SHORT, 0, 0), waiting(world, SHORT, 1, 10))
            world.hand_out(SHORT, *messages, assigned=[SHORT])
            await world.after(20)
            assert world.returned() == [b"0"]

    run(main())


def test_what_comes_while_others_are_committed_is_heard():
    async def main():
        world = World()
        async with world.running():
            world.source.committing.clear()
            world.hand_out(SHORT, waiting(world, SHORT, 0, 5), assigned=[SHORT])
            await world.after(6)
            world.hand_out(SHORT, waiting(world, SHORT, 1, 0))
            await world.after(1)
            world.source.committing.set()
            await world.after(1)
            assert world.returned() == [b"0", b"1"]
            assert world.source.commits == [{SHORT: 1}, {SHORT: 2}]

    run(main())


def test_nothing_is_committed_that_could_not_be_returned():
    async def main():
        world = World()
        world.broker.up = False
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 0, 0), assigned=[SHORT])
            await world.after(60)
            assert not world.source.commits
            world.broker.up = True
            await world.after(6)
            assert world.returned() == [b"0"]
            assert world.source.commits == [{SHORT: 1}]

    run(main())


def test_a_commit_that_fails_is_tried_again_and_the_message_is_not():
    async def main():
        world = World()
        world.source.commit_error = BrokerUnavailableError("away")
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 0, 0), assigned=[SHORT])
            await world.after(30)
            world.source.commit_error = None
            await world.after(6)
            assert world.returned() == [b"0"]
            assert world.source.commits == [{SHORT: 1}]

    run(main())


def test_brokers_that_are_away_are_asked_again():
    async def main():
        world = World()
        async with world.running():
            for _ in range(3):
                world.source.news.put_nowait(BrokerUnavailableError("away"))
            world.hand_out(SHORT, waiting(world, SHORT, 0, 0), assigned=[SHORT])
            await world.after(2)
            assert world.returned() == [b"0"]
            assert world.source.polls == 5

    run(main())


def test_no_header_holds_a_partition_up_for_good():
    async def main():
        world = World()
        async with world.running():
            far = waiting(world, SHORT, 0, 10**9)
            world.hand_out(SHORT, far, waiting(world, SHORT, 1, 0), assigned=[SHORT])
            await world.after(301)
            assert world.returned() == [b"0", b"1"]

    run(main())


def test_a_message_without_a_time_returns_at_once():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(SHORT, Delivery(SHORT.topic, 0, 0, b"k", b"v", {}), assigned=[SHORT])
            await world.after(1)
            assert world.returned() == [b"v"]

    run(main())


def test_what_its_topic_will_not_take_is_a_dead_letter_and_the_others_return():
    async def main():
        world = World()
        async with world.running():
            large = waiting(world, SHORT, 1, 0, b"x" * 50_000)
            messages = (waiting(world, SHORT, 0, 0), large, waiting(world, SHORT, 2, 0))
            world.hand_out(SHORT, *messages, assigned=[SHORT])
            await world.after(1)
            assert world.returned() == [b"0", b"2"]
            (dead,) = world.broker.records("t.dead")
            assert dict(dead.headers)["headrace-size"] == b"50000"
            assert world.source.commits == [{SHORT: 3}]

    run(main())


def test_too_many_dead_letters_end_it():
    async def main():
        world = World(dead_letters_max=0)
        task = asyncio.create_task(world.pump.run())
        world.hand_out(SHORT, waiting(world, SHORT, 0, 0, b"x" * 50_000), assigned=[SHORT])
        with pytest.raises(StopConsumingError):
            await task
        assert world.source.closed
        assert not world.source.commits

    run(main())


def test_cancelled_it_leaves_the_group():
    async def main():
        world = World()
        task = asyncio.create_task(world.pump.run())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert world.source.closed

    run(main())


def test_metrics_tell_of_what_waits_and_what_returned():
    async def main():
        world = World()
        async with world.running():
            messages = (waiting(world, SHORT, 4, 0), waiting(world, SHORT, 5, 20))
            world.hand_out(SHORT, *messages, assigned=[SHORT], ends={SHORT: 9})
            await world.after(1)
            told = world.registry.render()[1].decode()
            assert 'headrace_consumer_messages_total{outcome="done",topic="t.retry-1"} 1.0' in told
            assert 'headrace_consumer_held_messages{topic="t.retry-1"} 1.0' in told
            assert 'headrace_consumer_lag_messages{topic="t.retry-1"} 4.0' in told
            assert 'headrace_consumer_partitions{topic="t.retry-1"} 1.0' in told

    run(main())


def test_drain_returns_when_it_has_left_the_group():
    async def main():
        world = World()
        task = asyncio.create_task(world.pump.run())
        world.hand_out(SHORT, waiting(world, SHORT, 0, 20), assigned=[SHORT])
        await world.after(1)
        await world.pump.drain(5)
        assert world.source.closed
        await task

    run(main())
