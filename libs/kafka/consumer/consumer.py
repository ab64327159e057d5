"""The life of a consumer: poll → submit → close → terminate → join.

poll       asks the source for news, over and over, whether or not anything is wanted: polling keeps the membership.
submit     gives messages to the handler; paused partitions send none while their share of the memory is full.
close      takes nothing more; handlers go on, and so does polling, so that partitions can still be given up in order.
terminate  cancels the handlers.
join       waits for handlers within a grace, terminates the rest, commits what is done, leaves the group.

What is done before a commit was possible comes again, here or elsewhere: handlers are idempotent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import cast

from libs.clock import Clock
from libs.kafka.consumer.batches import Batches
from libs.kafka.consumer.commits import Commits
from libs.kafka.consumer.flow import Flow
from libs.kafka.consumer.lane import Lane
from libs.kafka.consumer.lanes import Lanes
from libs.kafka.consumer.metrics import ConsumerMetrics
from libs.kafka.consumer.outage import Outage, pauses
from libs.kafka.consumer.port import Claim, Fetched, Polled, Source
from libs.kafka.consumer.settle import Settling
from libs.kafka.consumer.singles import Singles
from libs.kafka.consumer.work import Hooks, Work
from libs.kafka.errors import KafkaError
from libs.kafka.handling import BatchHandler, Handler
from libs.kafka.letters_port import Letters
from libs.kafka.settings import ConsumerSettings


class Phase(StrEnum):
    """Where a consumer stands in its life; it only goes on."""

    IDLE = "idle"
    POLLING = "polling"
    CLOSED = "closed"
    TERMINATED = "terminated"
    JOINED = "joined"


class Consumer:
    """Feeds one group's messages to one handler. All of it belongs to the event loop that calls `run`.

    `app.spawn(consumer.run(), …)` and `app.on_drain(consumer.drain)` give it its place in a process.
    """

    def __init__(
        self,
        source: Source,
        handler: Handler | BatchHandler,
        letters: Letters,
        clock: Clock,
        settings: ConsumerSettings,
        metrics: ConsumerMetrics,
    ) -> None:
        self._source, self._clock, self._settings = source, clock, settings
        self.phase = Phase.IDLE
        self._commits = Commits(source, clock, settings, metrics, self._fenced)
        self._flow = Flow(source, settings)
        self._work = _work(handler, Settling(letters, clock), settings, Hooks(self._progressed, self._fail, metrics))
        self._lanes = Lanes(metrics, self._work.running)
        self._outage = Outage("Kafka is")
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None
        self._ended = asyncio.Event()
        self._joining: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Consumes until `drain` or `join` has ended it.

        Waits for brokers that are away, for as long as it takes. Raises StopConsumingError, after an orderly end, when
        the letters say so, and whatever else would lose messages if consuming went on. When cancelled it terminates.
        """
        if self.phase is not Phase.IDLE:
            return
        self.phase = Phase.POLLING
        self._tasks = [asyncio.create_task(work) for work in (self._poll(), self._commits.run())]
        for task in self._tasks:
            task.add_done_callback(self._background_done)
        try:
            await self._ended.wait()
        except asyncio.CancelledError:
            self.terminate()
            raise
        finally:
            await self.join(self._settings.revoke_grace_seconds)
        if self._failure is not None:
            raise self._failure

    def partitions(self, topic: str) -> int:
        """How many of a topic's partitions are this member's."""
        return sum(lane.claim.topic == topic for lane in self._lanes.all())

    def close(self) -> None:
        """Takes nothing more. What a handler has goes on; what waits for one comes again. A repeat does nothing."""
        if self.phase in {Phase.IDLE, Phase.POLLING}:
            self.phase = Phase.CLOSED
            self._flow.stop(self._lanes.all())
            self._work.drop(self._lanes.all())

    def terminate(self) -> None:
        """Closes, and cancels the handlers. A repeat does nothing."""
        self.close()
        if self.phase is Phase.CLOSED:
            self.phase = Phase.TERMINATED
            self._work.cut(self._lanes.all())

    async def join(self, grace_seconds: float) -> None:
        """Closes, and returns when nothing of this consumer is left. Callers after the first wait with it."""
        self.close()
        if self._joining is None:
            self._joining = asyncio.create_task(self._join(grace_seconds))
        await asyncio.shield(self._joining)

    async def drain(self, grace_seconds: float) -> None:
        """For App.on_drain: finishes what handlers have within the grace, and leaves the group."""
        await self.join(grace_seconds)

    async def _join(self, grace_seconds: float) -> None:
        await self._work.finish(self._lanes.all(), grace_seconds)
        with suppress(KafkaError):  # what is not committed comes again
            await self._commits.flush()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._source.close()
        self.phase = Phase.JOINED
        self._ended.set()

    async def _poll(self) -> None:
        retry = self._pauses()
        while True:
            try:
                polled = await self._source.poll()
            except KafkaError as error:
                self._outage.failed(error)
                await self._clock.sleep(next(retry))
            else:
                retry = self._pauses()
                self._outage.worked()
                await self._take(polled)

    async def _take(self, polled: Polled) -> None:
        if polled.lost:
            self._work.cut(self._lanes.end(polled.lost, "lost"))
        if polled.assigned:
            self._assigned(polled.assigned)
        if polled.ends:
            self._lanes.see(polled.ends)
        if polled.fetched:
            self._submit(polled.fetched)
        if polled.revoked:
            await self._give_up(polled.revoked)

    def _assigned(self, claims: Sequence[Claim]) -> None:
        lanes = self._lanes.begin(claims)
        if self.phase is not Phase.POLLING:
            self._flow.stop(lanes)

    def _submit(self, fetched: Sequence[Fetched]) -> None:
        if self.phase is not Phase.POLLING:
            return
        taken = self._lanes.take(fetched)
        if taken:
            self._flow.took([each.lane for each in taken], len(self._lanes))
            self._work.submit(taken)

    async def _give_up(self, claims: Sequence[Claim]) -> None:
        """Until the next poll they are ours: what runs may finish, and what is done is committed."""
        lanes = self._lanes.of(claims)
        await self._work.finish(lanes, self._settings.revoke_grace_seconds)
        with suppress(KafkaError):  # what is not committed comes again, to the next owner
            await self._commits.flush()
        self._lanes.end(claims, "revoked")

    def _progressed(self, lane: Lane) -> None:
        if not lane.gone:
            self._commits.progressed(lane)
            self._flow.freed(lane, len(self._lanes))

    def _fenced(self, lane: Lane) -> None:
        self._work.cut(self._lanes.end([lane.claim], "lost"))

    def _background_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Nothing more is begun; `run` ends in order and raises it."""
        self._failure = self._failure or error
        self.close()
        self._ended.set()

    def _pauses(self) -> Iterator[float]:
        return pauses(self._settings.retry_seconds_min, self._settings.retry_seconds_max)


def _work(handler: Handler | BatchHandler, settling: Settling, settings: ConsumerSettings, hooks: Hooks) -> Work:
    if hasattr(handler, "handle_batch"):
        return Batches(cast("BatchHandler", handler), settling, hooks)
    return Singles(handler, settling, settings.inflight_max, hooks)
