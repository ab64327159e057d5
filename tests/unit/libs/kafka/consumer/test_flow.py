from libs.kafka.consumer.flow import Flow
from libs.kafka.consumer.lane import Lane
from libs.kafka.consumer.port import Claim
from libs.kafka.settings import ConsumerSettings

LANES = 2


class Valve:
    """What a source was told."""

    def __init__(self):
        self.told = []

    def flow(self, claims, *, paused):
        self.told.append(([claim.partition for claim in claims], paused))


def world(**limits):
    valve = Valve()
    return valve, Flow(valve, ConsumerSettings(**limits)), Lane(Claim("t", 0)), Lane(Claim("t", 1))


def hold(lane, count, size_bytes=0):
    lane.count, lane.size_bytes = count, size_bytes


def test_a_partition_is_paused_when_its_share_is_full_and_comes_again_below_half_of_it():
    valve, flow, one, other = world(held_messages_max=20)
    hold(one, 9)
    hold(other, 1)
    flow.took([one, other], LANES)
    assert valve.told == []
    hold(one, 10)
    flow.took([one], LANES)
    flow.took([one], LANES)
    assert valve.told == [([0], True)]
    hold(one, 5)
    flow.freed(one, LANES)
    assert len(valve.told) == 1
    hold(one, 4)
    flow.freed(one, LANES)
    assert valve.told == [([0], True), ([0], False)]


def test_large_messages_count_by_their_bytes():
    valve, flow, one, _ = world(held_bytes_max=2_000)
    hold(one, 1, 1_000)
    flow.took([one], LANES)
    assert valve.told == [([0], True)]
    hold(one, 0)
    flow.freed(one, LANES)
    assert valve.told[-1] == ([0], False)


def test_a_limit_of_one_lets_one_through_at_a_time():
    valve, flow, one, _ = world(held_messages_max=1)
    hold(one, 1)
    flow.took([one], 12)
    hold(one, 0)
    flow.freed(one, 12)
    assert valve.told == [([0], True), ([0], False)]


def test_once_stopped_nothing_comes_again():
    valve, flow, one, other = world(held_messages_max=20)
    flow.stop([one, other])
    flow.freed(one, LANES)
    assert valve.told == [([0, 1], True)]
