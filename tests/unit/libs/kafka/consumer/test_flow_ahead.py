from __future__ import annotations

import pytest

from libs.kafka.consumer import Claim, flow
from libs.kafka.consumer.flow import Flow
from libs.kafka.consumer.lane import Lane
from libs.kafka.handling import Delivery
from libs.kafka.settings import ConsumerSettings


class Noting:
    """The part of a source that Flow uses."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def flow(self, claims, *, paused: bool) -> None:
        self.told.append(paused)


def test_a_partition_goes_only_so_far_ahead_of_a_message_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done behind it is remembered until it ends, and is done again after a crash: both are bounded."""
    monkeypatch.setattr(flow, "AHEAD_MAX", 10)
    source, lane = Noting(), Lane(Claim("t", 0))
    made = Flow(source, ConsumerSettings())
    messages = [Delivery("t", 0, offset, b"", b"", {}) for offset in range(10)]
    for message in messages:
        lane.take([message], 0)
        made.took([lane], 1)
        if message.offset:
            lane.finish(message)
            made.freed(lane, 1)
    assert source.told == [True]
    lane.finish(messages[0])
    made.freed(lane, 1)
    assert source.told == [True, False]
    assert lane.ready == 10
