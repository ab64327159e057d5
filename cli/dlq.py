"""The brokers behind `headrace dlq`, and what is asked of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from cli.config import Config
from cli.errors import CliError
from cli.plan import kafka_broker
from libs.clock import SystemClock
from libs.kafka import BrokerUnavailableError, KafkaError, KafkaSettings, Producer, Reader
from libs.kafka.handling import Delivery
from libs.kafka.letter_box import Box, Letter, Place, read_box, read_letters
from libs.kafka.letter_settings import for_letters
from libs.kafka.letter_tools import Replayed, replay
from libs.kafka.letter_topics import DEAD, PARKED, consumed_topic


class Brokers(Protocol):
    """A way to some brokers."""

    async def topics(self) -> Collection[str]:
        """The names of all topics. Raises KafkaError."""
        ...

    def reader(self) -> Reader:
        """For one command."""
        ...

    def producer(self) -> Producer:
        """For one command, which closes it."""
        ...


@dataclass(frozen=True)
class RealBrokers:
    """Implements `Brokers`."""

    settings: KafkaSettings

    async def topics(self) -> Collection[str]:
        """See Brokers."""
        from libs.kafka.topic_names import topic_names

        return await topic_names(self.settings)

    def reader(self) -> Reader:
        """See Brokers."""
        from libs.kafka.reader import TopicReader

        return TopicReader(self.settings)

    def producer(self) -> Producer:
        """See Brokers."""
        from libs.kafka.producer import IdempotentProducer

        return IdempotentProducer(for_letters(self.settings))


@dataclass(frozen=True)
class Desk:
    """Dead letters, or parked messages; those of one topic, or of all ("")."""

    brokers: Brokers
    parked: bool
    topic: str = ""

    async def boxes(self) -> list[Box]:
        """Topics that hold any. Raises CliError."""
        suffix = PARKED if self.parked else DEAD
        with told():
            names = sorted(name for name in await self.brokers.topics() if name.endswith(suffix))
            wanted = [name for name in names if not self.topic or consumed_topic(name) == consumed_topic(self.topic)]
            reader = self.brokers.reader()
            return [box for box in [await read_box(reader, name) for name in wanted] if box.letters]

    async def whole(self, topic: str, place: Place) -> Delivery:
        """One letter with everything. Raises CliError."""
        with told():
            found = await read_letters(self.brokers.reader(), topic, {place})
        if not found:
            raise CliError(f"{topic} has no letter {place[0]}:{place[1]} any more", "its time there was over")
        return found[0]

    async def replay(self, chosen: Mapping[str, Sequence[Letter]]) -> dict[str, Replayed]:
        """Sends letters back, by topic of letters. Raises CliError."""
        async with self._producing() as producer:
            reader, clock = self.brokers.reader(), SystemClock()
            with told():
                return {
                    topic: await replay(reader, producer, topic, {each.place for each in letters}, clock)
                    for topic, letters in chosen.items()
                }

    @asynccontextmanager
    async def _producing(self) -> AsyncIterator[Producer]:
        producer = self.brokers.producer()
        try:
            yield producer
        finally:
            await producer.close()


def brokers_of(config: Config, given: str) -> Brokers:
    """The brokers that were given, else those of the platform. Raises CliError."""
    return RealBrokers(_settings(config, {"brokers": tuple(given.split(","))} if given else {}))


def _settings(config: Config, given: dict[str, Any]) -> KafkaSettings:
    """Of jobs, which take over what the gateway's say."""
    services = config.services
    embedded = {"brokers": (kafka_broker(config),)} if config.embedded_broker else {}
    listed = {**(services.gateway.get("kafka") or {}), **embedded, **(services.jobs.get("kafka") or {})}
    try:
        return KafkaSettings.model_validate({**listed, **given})
    except ValidationError as problem:
        raise CliError(f"the settings of Kafka cannot be used: {problem}", "correct headrace.yaml", code=2) from None


@contextmanager
def told() -> Iterator[None]:
    """Turns what a broker or a topic does wrong into words."""
    try:
        yield
    except KafkaError as problem:
        fix = "start the platform (headrace up), or name its brokers: --brokers host:port"
        raise CliError(str(problem), fix if isinstance(problem, BrokerUnavailableError) else "") from problem
