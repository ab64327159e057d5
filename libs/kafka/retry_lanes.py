"""What retry topics hold back: per partition, messages with the time at which they return."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from libs.kafka.consumer.port import Claim
from libs.kafka.handling import Delivery
from libs.kafka.letter_headers import NOT_BEFORE, number


@dataclass(slots=True)
class _Lane:
    """Messages with their times in unix ms, the first to come first."""

    waiting: deque[tuple[int, Delivery]] = field(default_factory=deque)
    paused: bool = False


class RetryLanes:
    """All partitions of a pump. All messages of a retry topic wait equally long, so the first is the first due.

    A message that says to wait longer than `longest_ms` from when it is seen is due then: no header, however wrong,
    holds a partition up for good.
    """

    def __init__(self, longest_ms: int) -> None:
        self._longest_ms = longest_ms
        self._lanes: dict[Claim, _Lane] = {}

    @property
    def waiting(self) -> int:
        """Messages in memory."""
        return sum(len(lane.waiting) for lane in self._lanes.values())

    @property
    def next_ms(self) -> int | None:
        """When the next one is due; None without any."""
        return min((lane.waiting[0][0] for lane in self._lanes.values() if lane.waiting), default=None)

    def add(self, claim: Claim) -> None:
        """A partition that came."""
        self._lanes[claim] = _Lane()

    def drop(self, claim: Claim) -> None:
        """A partition that went, with what is held of it."""
        self._lanes.pop(claim, None)

    def take(self, claim: Claim, messages: Sequence[Delivery], now_ms: int) -> None:
        """Messages that were fetched, in order. Those of a partition that is not there are left out."""
        if (lane := self._lanes.get(claim)) is not None:
            latest = now_ms + self._longest_ms
            lane.waiting.extend((min(number(each.headers, NOT_BEFORE), latest), each) for each in messages)

    def due(self, now_ms: int, count: int) -> list[tuple[Claim, Delivery]]:
        """Up to `count` messages whose time has come, in order per partition. They stay until `remove`."""
        found: list[tuple[Claim, Delivery]] = []
        for claim, lane in self._lanes.items():
            for due_ms, message in lane.waiting:
                if due_ms > now_ms or len(found) == count:
                    break
                found.append((claim, message))
        return found

    def remove(self, claims: Collection[Claim]) -> None:
        """One message of each entry, from the front of its partition."""
        for claim in claims:
            self._lanes[claim].waiting.popleft()

    def to_flow(self) -> tuple[list[Claim], list[Claim]]:
        """What is to be paused (it holds messages), and what is to be resumed (it holds none), since the last call."""
        pause = [claim for claim, lane in self._lanes.items() if lane.waiting and not lane.paused]
        resume = [claim for claim, lane in self._lanes.items() if lane.paused and not lane.waiting]
        for claim in (*pause, *resume):
            self._lanes[claim].paused = not self._lanes[claim].paused
        return pause, resume
