from hypothesis import given
from hypothesis import strategies as st

from libs.kafka.consumer.lane import Lane
from libs.kafka.consumer.port import Claim
from libs.kafka.handling import Delivery


def message(offset):
    return Delivery("t", 0, offset, b"k", b"value", {})


def taken(lane, offsets):
    messages = [message(offset) for offset in offsets]
    lane.take(messages, 6 * len(messages))
    return messages


def test_what_may_be_committed_ends_before_the_first_message_that_is_not_done():
    lane = Lane(Claim("t", 0))
    first, second, third = taken(lane, [7, 8, 9])
    assert lane.ready is None
    lane.finish(second)
    assert lane.ready is None
    lane.finish(first)
    assert lane.ready == 9
    lane.committed = 9
    assert lane.ready is None
    lane.finish(third)
    assert (lane.ready, lane.count, lane.size_bytes) == (10, 0, 0)


def test_offsets_that_are_missing_hold_up_nothing():
    """Compaction and markers of transactions leave gaps."""
    lane = Lane(Claim("t", 0))
    for each in taken(lane, [3, 10, 11, 40]):
        lane.finish(each)
    assert lane.ready == 41


def test_a_batch_counts_as_its_messages_do():
    lane = Lane(Claim("t", 0))
    batch = taken(lane, [0, 1, 5])
    taken(lane, [6])
    lane.finish_first(batch, 18)
    assert (lane.ready, lane.count, lane.size_bytes) == (6, 1, 6)


def test_the_lag_counts_what_is_not_done():
    lane = Lane(Claim("t", 0))
    lane.end = 12
    assert lane.lag == 0  # nothing was seen of it: where it begins is not known
    batch = taken(lane, [4, 5, 6])
    assert lane.lag == 8
    for each in batch:
        lane.finish(each)
    assert lane.lag == 5
    lane.end = 2  # a broker that lost its memory
    assert lane.lag == 0


@given(st.data())
def test_in_any_order_the_offset_is_behind_all_that_is_done_without_a_hole(data):
    offsets = sorted(data.draw(st.sets(st.integers(0, 60), min_size=1, max_size=20)))
    lane, done = Lane(Claim("t", 0)), set()
    for each in data.draw(st.permutations(taken(lane, offsets))):
        lane.finish(each)
        done.add(each.offset)
        whole = [offset for number, offset in enumerate(offsets) if set(offsets[: number + 1]) <= done]
        assert lane.ready == (whole[-1] + 1 if whole else None)
    assert lane.count == 0
