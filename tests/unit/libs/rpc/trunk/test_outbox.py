"""Order, splitting and size of what goes onto a trunk, for any mix of calls."""

from collections import defaultdict

from headrace.common.v1.trunk_pb2 import Cancel, ConnectResponse, Frame
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.rpc.trunk.limits import TrunkLimits
from libs.rpc.trunk.outbox import Opening, Outbox

LIMITS = TrunkLimits(part_bytes=10, message_bytes=200, payload_bytes=500)
RANK = {"cancel": 0, "credit": 0, "close": 0, "data": 1, "open": 2}

OPENS = range(10, 15)  # their last part has the flag, as the whole of a request

payloads = st.binary(max_size=60)
steps = st.one_of(
    st.tuples(st.just("data"), st.integers(1, 4), payloads),
    st.tuples(st.just("open"), st.sampled_from(OPENS), payloads),
    st.tuples(st.just("cancel"), st.integers(1, 4), st.none()),
    st.tuples(st.just("close"), st.integers(1, 4), st.sampled_from([b"", b"status"])),
    st.tuples(st.just("pop"), st.none(), st.none()),
)


def drain(box):
    messages = []
    while (message := box.pop(ConnectResponse)) is not None:
        messages.append(message)
    return messages


def play(script):
    """Runs a script; returns the messages and, per call, the payloads put in, in order."""
    box, messages, put, closed, opened = Outbox(LIMITS), [], defaultdict(list), set(), set()
    for kind, call, payload in script:
        if kind == "data" and call not in closed:
            box.data(call, payload)
            put[call].append(payload)
        elif kind == "open" and call not in opened:
            opened.add(call)
            box.open(Opening(call, "/m", 0, 1000, {}, payload))
            put[call].append(payload)
        elif kind == "cancel":
            box.control(Frame(call=call, cancel=Cancel()))
        elif kind == "close" and call not in closed:
            closed.add(call)
            box.close(call, payload)
        elif kind == "pop":
            messages += [m for m in [box.pop(ConnectResponse)] if m]
    return box, messages + drain(box), put


def joined(messages):
    """Payloads per call as a receiver joins them; an end, by Close or by flag, is the text "close"."""
    out, parts = defaultdict(list), defaultdict(bytes)
    for message in messages:
        for frame in message.frames:
            kind = frame.WhichOneof("kind")
            if kind in ("data", "open"):
                parts[frame.call] += frame.data if kind == "data" else frame.open.payload
                if not frame.more:
                    out[frame.call].append(parts.pop(frame.call))
                if frame.end and frame.call not in OPENS:
                    out[frame.call].append("close")
            elif kind == "close":
                out[frame.call].append("close")
    return out


@given(st.lists(steps, max_size=60))
@settings(deadline=None)
def test_every_payload_arrives_once_whole_and_in_its_calls_order(script):
    _, messages, put = play(script)
    found = joined(messages)
    for call, expected in put.items():
        assert [p for p in found[call] if p != "close"] == expected


@given(st.lists(steps, max_size=60))
@settings(deadline=None)
def test_a_close_never_overtakes_its_calls_data(script):
    for payloads_of_call in joined(play(script)[1]).values():
        assert "close" not in payloads_of_call[:-1]


@given(st.lists(steps, max_size=60))
@settings(deadline=None)
def test_no_message_is_over_its_size_and_no_part_over_its(script):
    for message in play(script)[1]:
        assert message.ByteSize() <= LIMITS.message_bytes + 300
        calls = [f.call for f in message.frames if f.more]
        assert len(calls) == len(set(calls)), "one part per call and message"
        assert all(len(f.data) <= LIMITS.part_bytes for f in message.frames)


@given(st.lists(steps, max_size=60))
@settings(deadline=None)
def test_urgent_frames_go_first_then_data_then_opens(script):
    for message in play(script)[1]:
        seen_data = set()
        ranks = []
        for frame in message.frames:
            kind = frame.WhichOneof("kind")
            if kind == "data":
                seen_data.add(frame.call)
            # A Close that follows its own call's data in this message stands in the data lane.
            ranks.append(1 if kind == "close" and frame.call in seen_data else RANK[kind])
        assert ranks == sorted(ranks)


@given(st.lists(steps, max_size=60))
@settings(deadline=None)
def test_nothing_stays_and_the_count_of_bytes_returns_to_zero(script):
    box, _, _ = play(script)
    assert not box
    assert box.queued_bytes == 0


@given(st.lists(steps, max_size=60))
@settings(deadline=None)
def test_every_end_is_told_once_with_its_status(script):
    told, expected = defaultdict(list), {}
    for kind, call, payload in script:
        if kind == "close":
            expected.setdefault(call, [payload])
    for message in play(script)[1]:
        for frame in message.frames:
            if frame.WhichOneof("kind") == "close":
                told[frame.call].append(frame.close.status)
            elif frame.end and frame.call not in OPENS:
                told[frame.call].append(b"")
    assert told == expected


def test_a_good_end_goes_with_the_last_payload_and_a_bad_one_after_it():
    for limits in (LIMITS, TrunkLimits()):
        box = Outbox(limits)
        for call, status in ((1, b""), (2, b"bad")):
            box.data(call, b"first")
            box.data(call, b"last")
            box.close(call, status)
        frames = [frame for message in drain(box) for frame in message.frames]
        assert [(f.call, f.WhichOneof("kind"), f.data, f.end) for f in frames] == [
            (1, "data", b"first", False),
            (1, "data", b"last", True),
            (2, "data", b"first", False),
            (2, "data", b"last", False),
            (2, "close", b"", False),
        ]


def test_a_call_has_one_part_in_a_message_and_its_next_payload_waits():
    box = Outbox(LIMITS)
    box.data(1, b"a" * 15)
    box.data(1, b"b" * 15)
    found = [[(f.data[:1], f.more) for f in message.frames] for message in drain(box)]
    assert found == [[(b"a", True)], [(b"a", False), (b"b", True)], [(b"b", False)]]


def test_a_long_payload_lets_others_pass_between_its_parts():
    box = Outbox(LIMITS)
    box.data(1, b"a" * 35)
    box.data(2, b"b")
    first = box.pop(ConnectResponse)
    assert [(f.call, f.more) for f in first.frames] == [(1, True), (2, False)]
    assert len(drain(box)) == 3


def test_what_does_not_fit_a_message_waits_for_the_next_one():
    box = Outbox(TrunkLimits(part_bytes=1000, message_bytes=2500))
    for call in range(1, 6):
        box.data(call, b"x" * 1000)
    assert [len(message.frames) for message in drain(box)] == [2, 2, 1]


def test_an_open_taken_back_before_it_was_written_leaves_no_trace():
    box = Outbox(LIMITS)
    box.open(Opening(1, "/m", 0, 1000, {}, b"x" * 30))
    assert box.forget(1)
    assert box.pop(ConnectResponse) is None
    assert box.queued_bytes == 0


def test_an_open_that_was_written_cannot_be_taken_back():
    box = Outbox(LIMITS)
    box.open(Opening(1, "/m", 0, 1000, {}, b"x" * 30))
    box.pop(ConnectResponse)
    assert not box.forget(1)
    assert drain(box) == []
    assert box.queued_bytes == 0
