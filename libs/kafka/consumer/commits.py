"""Committing what is done: seldom enough to cost nothing, in order, and never for what is somebody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from libs.clock import Clock
from libs.kafka.consumer.lane import Lane
from libs.kafka.consumer.metrics import CommitLabels, ConsumerMetrics
from libs.kafka.consumer.outage import Outage, pauses
from libs.kafka.consumer.port import Source
from libs.kafka.errors import KafkaError
from libs.kafka.settings import ConsumerSettings

FENCED, BROKER = CommitLabels("fenced"), CommitLabels("broker")


class Commits:
    """One commit at a time. `fenced` hears of lanes that turned out to be somebody else's."""

    def __init__(
        self,
        source: Source,
        clock: Clock,
        settings: ConsumerSettings,
        metrics: ConsumerMetrics,
        fenced: Callable[[Lane], None],
    ) -> None:
        self._source, self._clock, self._settings, self._metrics = source, clock, settings, metrics
        self._fenced = fenced
        self._lanes: set[Lane] = set()
        self._due = asyncio.Event()
        self._turn = asyncio.Lock()
        self._outage = Outage("commits of offsets are")

    def progressed(self, lane: Lane) -> None:
        """Something of it is done."""
        self._lanes.add(lane)
        self._due.set()

    async def run(self) -> None:
        """Commits what progressed, until it is cancelled. A broker that is away is waited for."""
        retry = self._pauses()
        while True:
            await self._due.wait()
            try:
                await self.flush()
            except KafkaError as error:
                self._outage.failed(error)
                await self._clock.sleep(next(retry))
            else:
                self._outage.worked()
                retry = self._pauses()
                await self._clock.sleep(self._settings.commit_seconds)

    async def flush(self) -> None:
        """Commits all there is. Raises KafkaError; then the next one does it."""
        async with self._turn:
            self._due.clear()
            lanes, self._lanes = self._lanes, set()
            offsets = {lane: lane.ready for lane in lanes if not lane.gone}
            ready = {lane: offset for lane, offset in offsets.items() if offset is not None}
            if ready:
                await self._commit(ready)

    async def _commit(self, ready: dict[Lane, int]) -> None:
        try:
            refused = await self._source.commit({lane.claim: offset for lane, offset in ready.items()})
        except BaseException as error:
            if isinstance(error, KafkaError):
                self._metrics.commit_failures.inc(BROKER, len(ready))
            self._lanes |= ready.keys()
            self._due.set()
            raise
        for lane, offset in ready.items():
            if lane.claim in refused:
                self._metrics.commit_failures.inc(FENCED)
                self._fenced(lane)
            else:
                lane.committed = offset

    def _pauses(self) -> Iterator[float]:
        return pauses(self._settings.retry_seconds_min, self._settings.retry_seconds_max)
