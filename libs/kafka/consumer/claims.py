"""Which partitions are a member's, kept up by the group's rebalances."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from kafka import TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener

from libs.kafka.consumer.handover import Handover
from libs.kafka.consumer.port import Claim, Polled

TURN_SECONDS = 0.01


class Claims(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # the client is untyped
    """Called by the client on its own loop, while the thread that owns the client waits inside a poll.

    `serve` does what the event loop has asked for meanwhile, `sleep` waits in the client's loop: heartbeats go on.
    """

    def __init__(
        self,
        handover: Handover,
        grace_seconds: float,
        serve: Callable[[], None],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._handover, self._grace_seconds, self._serve, self._sleep = handover, grace_seconds, serve, sleep
        self._claims: dict[TopicPartition, Claim] = {}

    def of(self, at: TopicPartition) -> Claim:
        """The claim on a partition that is this member's."""
        return self._claims[at]

    def find(self, at: TopicPartition) -> Claim | None:
        """The claim on a partition, None = it is not this member's."""
        return self._claims.get(at)

    def held(self, claims: Iterable[Claim]) -> list[TopicPartition]:
        """The partitions of those claims that are not over."""
        places = [(TopicPartition(claim.topic, claim.partition), claim) for claim in claims]
        return [at for at, claim in places if self._claims.get(at) is claim]

    def split(self, offsets: Mapping[Claim, int]) -> tuple[dict[TopicPartition, int], list[Claim]]:
        """Offsets of claims that hold, and the claims that are over."""
        good: dict[TopicPartition, int] = {}
        over: list[Claim] = []
        for claim, offset in offsets.items():
            at = TopicPartition(claim.topic, claim.partition)
            if self._claims.get(at) is claim:
                good[at] = offset
            else:
                over.append(claim)
        return good, over

    def end_all(self) -> None:
        """The membership is over."""
        self._lose(list(self._claims))

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """See the client."""
        begun = [at for at in assigned if at not in self._claims]
        for at in begun:
            self._claims[at] = Claim(at.topic, at.partition)
        self._handover.tell(Polled(assigned=[self._claims[at] for at in begun]))

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Lets handlers finish and commit until the loop polls again; then the partitions go to their next owner."""
        given = [self._claims[at] for at in revoked if at in self._claims]
        if given and not self._handover.closing:
            self._handover.tell(Polled(revoked=given))
            await self._finished()
        for at in revoked:
            self._claims.pop(at, None)

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """See the client."""
        self._lose(lost)

    def _lose(self, places: Collection[TopicPartition]) -> None:
        if lost := [self._claims.pop(at) for at in places if at in self._claims]:
            self._handover.tell(Polled(lost=lost))

    async def _finished(self) -> None:
        """The loop takes all news, this among them, and polls once more."""
        end = time.monotonic() + self._grace_seconds
        while not self._handover.idle and not self._handover.closing and time.monotonic() < end:
            self._serve()
            await self._sleep(TURN_SECONDS)
