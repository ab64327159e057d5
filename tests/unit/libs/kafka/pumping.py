"""What tests of the retry pump share."""

import asyncio
from contextlib import asynccontextmanager

from libs.kafka import KafkaSettings, TopicSpec
from libs.kafka.consumer import ConsumerMetrics
from libs.kafka.consumer.port import Claim, Fetched, Polled
from libs.kafka.handling import Delivery
from libs.kafka.letter_settings import LetterSettings, for_letters
from libs.kafka.letter_topics import topics_beside
from libs.kafka.letters import TopicLetters
from libs.kafka.retry_pump import RetryPump
from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from libs.testing.kafka import MemoryBroker, MemoryProducer

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
