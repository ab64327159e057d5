"""Backpressure: a partition whose share of the memory is full is paused, while polling goes on."""

from __future__ import annotations

from collections.abc import Collection

from libs.kafka.consumer.lane import Lane
from libs.kafka.consumer.port import Source
from libs.kafka.settings import ConsumerSettings

# Of a partition, behind a message that takes long: each costs 100 bytes of memory, and is done again after a crash.
AHEAD_MAX = 100_000


class Flow:
    """Each partition has an equal share, so that one that stands still holds up no other."""

    def __init__(self, source: Source, settings: ConsumerSettings) -> None:
        self._source, self._settings = source, settings
        # Nothing more is wanted, of any partition.
        self.stopped = False

    def took(self, lanes: Collection[Lane], of: int) -> None:
        """Messages of these lanes came, with `of` lanes in all."""
        full = [lane for lane in lanes if not lane.paused and self._fills(lane, of, 1)]
        self._set(full, paused=True)

    def freed(self, lane: Lane, of: int) -> None:
        """Messages of it are done."""
        if lane.paused and not self.stopped and not lane.gone and not self._fills(lane, of, 2):
            self._set([lane], paused=False)

    def stop(self, lanes: Collection[Lane]) -> None:
        """Nothing more is wanted."""
        self.stopped = True
        self._set(lanes, paused=True)

    def _fills(self, lane: Lane, of: int, parts: int) -> bool:
        """Whether it holds one of so many parts of its share."""
        share = of * parts
        settings = self._settings
        if lane.ahead * parts >= AHEAD_MAX:
            return True
        return lane.count * share >= settings.held_messages_max or lane.size_bytes * share >= settings.held_bytes_max

    def _set(self, lanes: Collection[Lane], *, paused: bool) -> None:
        for lane in lanes:
            lane.paused = paused
        if lanes:
            self._source.flow([lane.claim for lane in lanes], paused=paused)
