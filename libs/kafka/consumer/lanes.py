"""The partitions that are this member's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from libs.kafka.consumer.lane import Lane
from libs.kafka.consumer.metrics import ChangeLabels, ConsumerMetrics, TopicLabels
from libs.kafka.consumer.port import Claim, Fetched
from libs.kafka.consumer.work import Taken

Running = Callable[[Collection[Lane]], int]


class Lanes:
    """One lane per claim; its topics' gauges read from here. `running` counts what handlers have of lanes."""

    def __init__(self, metrics: ConsumerMetrics, running: Running) -> None:
        self._metrics, self._running = metrics, running
        self._lanes: dict[Claim, Lane] = {}
        self._topics: set[str] = set()

    def __len__(self) -> int:
        return len(self._lanes)

    def all(self) -> list[Lane]:
        """Those that there are; for any thread."""
        return list(self._lanes.values())

    def begin(self, claims: Sequence[Claim]) -> list[Lane]:
        """Lanes for partitions that came."""
        for claim in claims:
            self._lanes[claim] = Lane(claim)
            self._changed(claim.topic, "assigned")
        return [self._lanes[claim] for claim in claims]

    def end(self, claims: Collection[Claim], change: str) -> list[Lane]:
        """Takes lanes away; those that are gone already are left out."""
        ended = [lane for claim in claims if (lane := self._lanes.pop(claim, None)) is not None]
        for lane in ended:
            lane.gone = True
            self._changed(lane.claim.topic, change)
        return ended

    def of(self, claims: Collection[Claim]) -> list[Lane]:
        """The lanes of these claims, as far as they are still there."""
        return [self._lanes[claim] for claim in claims if claim in self._lanes]

    def take(self, fetched: Sequence[Fetched]) -> list[Taken]:
        """Messages by lane; those of partitions that are gone are left out, as they come again elsewhere."""
        taken = []
        for claim, messages, size_bytes in fetched:
            if (lane := self._lanes.get(claim)) is not None:
                lane.take(messages, size_bytes)
                taken.append(Taken(lane, messages, size_bytes))
        return taken

    def see(self, ends: Mapping[Claim, int]) -> None:
        """Where topics end."""
        for claim, end in ends.items():
            if (lane := self._lanes.get(claim)) is not None:
                lane.end = end

    def _changed(self, topic: str, change: str) -> None:
        self._metrics.changes.inc(ChangeLabels(topic, change))
        mine = [claim for claim in self._lanes if claim.topic == topic]
        self._metrics.partitions.set(TopicLabels(topic), len(mine))
        if topic not in self._topics:
            self._topics.add(topic)
            self._tell(topic)

    def _tell(self, topic: str) -> None:
        def mine() -> list[Lane]:
            return [lane for lane in self.all() if lane.claim.topic == topic]

        self._metrics.read_from(
            topic,
            lag=lambda: sum(lane.lag for lane in mine()),
            held=lambda: sum(lane.count for lane in mine()),
            running=lambda: self._running(mine()),
        )
