"""A source on real brokers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from libs.kafka.consumer.handover import FlowRequest, Handover
from libs.kafka.consumer.kafka_member import KafkaMember
from libs.kafka.consumer.port import Claim, Polled
from libs.kafka.errors import BrokerUnavailableError
from libs.kafka.ports import TopicSpec
from libs.kafka.settings import ConsumerSettings, KafkaSettings

# Beyond the limit of the settings, which holds for each of a client's own steps.
LEAVE_SECONDS = 1.0


class KafkaSource:
    """Implements `Source`. A member of `group` from the first poll on; missing topics are created if that is allowed.

    One thread owns the client; it is a daemon, so that the end of the process never waits for a broker.
    """

    def __init__(
        self, settings: KafkaSettings, consumer: ConsumerSettings, group: str, topics: Sequence[TopicSpec]
    ) -> None:
        self._settings, self._consumer, self._group, self._topics = settings, consumer, group, tuple(topics)
        self._handover: Handover | None = None
        self._member: KafkaMember | None = None
        self._closed = False

    async def poll(self) -> Polled:
        """See Source."""
        if self._closed:
            raise BrokerUnavailableError("This Kafka consumer is closed: the process is ending.")
        return await self._started().next()

    async def commit(self, offsets: Mapping[Claim, int]) -> Collection[Claim]:
        """See Source."""
        if self._closed or self._handover is None:
            return list(offsets)
        return await self._handover.commit(offsets)

    def flow(self, claims: Collection[Claim], *, paused: bool) -> None:
        """See Source."""
        if self._handover is not None:
            self._handover.requests.put(FlowRequest(tuple(claims), paused))

    async def close(self) -> None:
        """See Source."""
        self._closed = True
        if self._handover is None:
            return
        self._handover.close()
        # A client that cannot leave is left: the group finds out by the session timeout.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._handover.ended.wait(), self._settings.close_timeout_ms / 1000 + LEAVE_SECONDS)

    def _started(self) -> Handover:
        if self._handover is None:
            self._handover = Handover(asyncio.get_running_loop())
            self._member = KafkaMember(self._settings, self._consumer, self._group, self._topics, self._handover)
            threading.Thread(target=self._member.run, name="kafka-consumer", daemon=True).start()
        return self._handover
