"""The way back from retry topics: each message returns to its own topic when its time has come."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

from libs.clock import Clock
from libs.kafka.consumer.lanes import Lanes
from libs.kafka.consumer.metrics import ConsumerMetrics, Outcome, OutcomeLabels
from libs.kafka.consumer.outage import Outage, pauses
from libs.kafka.consumer.port import Claim, Polled, Source
from libs.kafka.errors import KafkaError, RecordRefusedError
from libs.kafka.handling import Delivery
from libs.kafka.letter_headers import returned
from libs.kafka.letter_settings import LetterSettings
from libs.kafka.letter_topics import consumed_topic
from libs.kafka.letters_port import Letters
from libs.kafka.ports import Producer, Record
from libs.kafka.retry_lanes import RetryLanes

# Returned together, and committed together.
RECORDS_MAX = 500
# Between tries while the brokers are away.
SECONDS_MIN, SECONDS_MAX = 0.2, 5.0


class RetryPump:
    """Consumes retry topics, in a group of its own, and produces each message to its own topic, one attempt later.

    A partition that holds messages which must wait is paused, so that it is read no further; others go on. A message is
    produced first and committed then: after a crash it may return twice, never not at all. While it waits the group
    keeps this member, because polling goes on.
    """

    def __init__(
        self,
        source: Source,
        producer: Producer,
        letters: Letters,
        clock: Clock,
        settings: LetterSettings,
        metrics: ConsumerMetrics,
    ) -> None:
        self._source, self._producer, self._letters, self._clock = source, producer, letters, clock
        self._lanes = RetryLanes(round(max(settings.retry_seconds) * 1000))
        # What the metrics read: partitions, lag, messages in memory.
        self._metrics, self._counted = metrics, Lanes(metrics, lambda _: 0)
        self._uncommitted: dict[Claim, int] = {}
        self._closing, self._ended = asyncio.Event(), asyncio.Event()
        self._reading = Outage("retry topics are")
        self._returning = Outage("topics that retries return to are")
        self._pauses = pauses(SECONDS_MIN, SECONDS_MAX)
        self._held_until = 0.0

    @property
    def waiting(self) -> int:
        """Messages in memory whose time has not come."""
        return self._lanes.waiting

    def close(self) -> None:
        """Ends `run`. A repeat does nothing."""
        self._closing.set()

    async def drain(self, grace_seconds: float) -> None:
        """For App.on_drain: ends `run`, which is over when this returns; what it holds waits on in its topic."""
        self.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), grace_seconds)

    async def run(self) -> None:
        """Goes on until `close` or cancelled, whatever the brokers do; then leaves the group.

        Raises StopConsumingError: a message cannot return, and there were too many dead letters.
        """
        closing = asyncio.create_task(self._closing.wait())
        polling = asyncio.create_task(self._poll())
        try:
            while not closing.done():
                await self._wait(closing, polling)
                heard = polling.done()  # asked once: it may be done while what is due returns
                polled = polling.result() if heard else Polled()
                self._take(polled)
                await self._return_due()
                await self._commit()
                self._flow()
                if heard:
                    self._drop(polled.revoked, "revoked")
                    polling = asyncio.create_task(self._poll())
        finally:
            closing.cancel()
            polling.cancel()
            await asyncio.gather(closing, polling, return_exceptions=True)
            await self._source.close()
            self._ended.set()

    async def _wait(self, *tasks: asyncio.Task[Any]) -> None:
        """Until one of them is done, or a message may return."""
        seconds = self._seconds_to_next()
        timer = [] if seconds is None else [asyncio.create_task(self._clock.sleep(seconds))]
        try:
            await asyncio.wait((*tasks, *timer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in timer:
                task.cancel()
            await asyncio.gather(*timer, return_exceptions=True)

    def _seconds_to_next(self) -> float | None:
        next_ms = self._lanes.next_ms
        if next_ms is None and not self._uncommitted:
            return None
        due = next_ms / 1000 - self._clock.unix() if next_ms is not None and not self._uncommitted else 0.0
        return max(due, self._held_until - self._clock.monotonic(), 0.0)

    async def _poll(self) -> Polled:
        """The next news, however long the brokers are away."""
        waits = pauses(SECONDS_MIN, SECONDS_MAX)
        while True:
            try:
                polled = await self._source.poll()
            except KafkaError as error:
                self._reading.failed(error)
                await self._clock.sleep(next(waits))
            else:
                self._reading.worked()
                return polled

    def _take(self, polled: Polled) -> None:
        now_ms = self._now_ms()
        self._drop(polled.lost, "lost")
        for lane in self._counted.begin(polled.assigned):
            self._lanes.add(lane.claim)
        self._counted.see(polled.ends)
        for taken in self._counted.take(polled.fetched):
            self._lanes.take(taken.lane.claim, taken.messages, now_ms)

    def _drop(self, claims: Collection[Claim], change: str) -> None:
        self._counted.end(claims, change)
        for claim in claims:
            self._lanes.drop(claim)
            self._uncommitted.pop(claim, None)

    async def _return_due(self) -> None:
        """What is due, in batches, until the brokers fail or nothing is."""
        while not self._held and (due := self._lanes.due(self._now_ms(), RECORDS_MAX)):
            try:
                await self._return([message for _, message in due])
            except KafkaError as error:
                self._hold(error)
                return
            self._worked()
            self._returned(due)
            await self._commit()

    def _returned(self, due: Sequence[tuple[Claim, Delivery]]) -> None:
        self._lanes.remove([claim for claim, _ in due])
        for claim, message in due:
            self._uncommitted[claim] = message.offset + 1
            self._metrics.handled.inc(OutcomeLabels(claim.topic, Outcome.DONE))
            for lane in self._counted.of([claim]):
                lane.finish(message)

    async def _return(self, messages: Sequence[Delivery]) -> None:
        try:
            await self._producer.send([_back(message) for message in messages])
        except RecordRefusedError as error:
            if len(messages) == 1:
                await self._letters.dead(messages[0], error)
                return
            for message in messages:
                await self._return([message])

    async def _commit(self) -> None:
        if not self._uncommitted or self._held:
            return
        try:
            over = await self._source.commit(dict(self._uncommitted))
        except KafkaError as error:
            self._hold(error)
            return
        self._uncommitted.clear()
        self._drop(over, "lost")

    def _flow(self) -> None:
        pause, resume = self._lanes.to_flow()
        if pause:
            self._source.flow(pause, paused=True)
        if resume:
            self._source.flow(resume, paused=False)

    @property
    def _held(self) -> bool:
        return self._clock.monotonic() < self._held_until

    def _hold(self, error: KafkaError) -> None:
        self._returning.failed(error)
        self._held_until = self._clock.monotonic() + next(self._pauses)

    def _worked(self) -> None:
        self._returning.worked()
        self._pauses = pauses(SECONDS_MIN, SECONDS_MAX)

    def _now_ms(self) -> int:
        return round(self._clock.unix() * 1000)


def _back(message: Delivery) -> Record:
    return Record(consumed_topic(message.topic), message.key, message.value, returned(message))
