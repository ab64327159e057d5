"""Joining parts and spending credit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.errors import PlatformError, Reason
from libs.rpc.trunk.calls import Assembly, Consumed, Window


@given(st.lists(st.lists(st.binary(max_size=20), min_size=1, max_size=5), max_size=10))
def test_parts_join_to_their_payloads(payloads):
    assembly = Assembly(1000)
    for parts in payloads:
        whole = [assembly.feed(part, more=i < len(parts) - 1) for i, part in enumerate(parts)]
        assert whole == [None] * (len(parts) - 1) + [b"".join(parts)]


def test_a_payload_that_grows_too_large_is_refused():
    assembly = Assembly(10)
    assembly.feed(b"123456", more=True)
    with pytest.raises(PlatformError) as caught:
        assembly.feed(b"78901", more=True)
    assert caught.value.reason is Reason.PAYLOAD_TOO_LARGE


@given(st.lists(st.integers(1, 100), max_size=200), st.integers(10, 200))
def test_a_sender_is_never_more_than_one_message_ahead_of_the_credit(sizes, window):
    sender, receiver = Window(window), Consumed(window)
    unread = []
    for size in sizes:
        while not sender.spend(size):
            assert unread, "out of credit although everything was read"
            sender.grant(receiver.take(unread.pop(0)))
        unread.append(size)
        assert sum(unread) <= window + window // 2 + 100


def test_credit_comes_back_in_halves_of_the_window():
    consumed = Consumed(100)
    assert [consumed.take(20) for _ in range(3)] == [0, 0, 60]
