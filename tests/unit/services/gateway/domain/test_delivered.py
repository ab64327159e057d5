from __future__ import annotations

import pytest
from headrace.inference.v1 import inference_pb2 as ipb
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.delivered import Delivered, HoleError


def delta(index, tokens=(7,), text="ab", choice=0, epoch=0, **fields):
    return ipb.GenerateResponse(choice=choice, epoch=epoch, first_index=index, token_ids=tokens, text=text, **fields)


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=20), cut=st.integers(0, 20))
def test_any_batching_of_a_stream_gives_the_same_account(sizes, cut):
    deltas, index = [], 0
    for size in sizes:
        deltas.append(delta(index, range(index, index + size), "é" * size))
        index += size
    delivered = Delivered(1)
    assert delivered.take(deltas[:cut]) + delivered.take(deltas[cut:]) == deltas
    (resume,) = delivered.resume(1000)
    assert list(resume.tokens) == list(range(index))
    assert (resume.text_sent, resume.max_tokens, delivered.tokens) == (index, 1000 - index, index)


@pytest.mark.parametrize("wrong", [delta(0), delta(2), delta(1, choice=1), delta(5)])
def test_what_does_not_follow_is_a_hole(wrong):
    delivered = Delivered(1)
    delivered.take([delta(0)])
    with pytest.raises(HoleError):
        delivered.take([wrong])
    delivered = Delivered(2)
    delivered.take([delta(0)])
    assert delivered.take([delta(1), delta(0, choice=1)])


def test_text_without_tokens_is_no_hole():
    delivered = Delivered(1)
    delivered.take([delta(0), delta(1, (), "held back"), delta(1)])
    assert delivered.resume(10)[0].text_sent == len("abheld backab")


def test_channels_are_counted_apart():
    delivered = Delivered(1)
    delivered.take([delta(0, channel=ipb.CHANNEL_REASONING, text="think"), delta(1)])
    (resume,) = delivered.resume(10)
    assert (resume.reasoning_sent, resume.text_sent) == (5, 2)


def test_stale_epochs_are_dropped_and_counted():
    delivered = Delivered(1)
    delivered.take([delta(0)])
    delivered.begin(1)
    assert delivered.take([delta(1, epoch=0), delta(1, epoch=1), delta(9, epoch=2)]) == [delta(1, epoch=1)]
    assert (delivered.stale, delivered.tokens) == (2, 2)


def test_usage_of_each_attempt_is_kept_and_the_last_word_counts():
    delivered = Delivered(1)
    delivered.take([delta(0, usage=ipb.Usage(cached_tokens=3)), delta(1)])
    delivered.begin(1)
    delivered.take([delta(2, epoch=1, usage=ipb.Usage(cached_tokens=5))])
    last = ipb.Usage(cached_tokens=5, completion_tokens=9)
    delivered.take([delta(3, epoch=1, finish=ipb.FINISH_REASON_STOP, usage=last)])
    assert [usage.cached_tokens for usage in delivered.usages] == [3, 5]
    assert delivered.usages[-1].completion_tokens == 9
    assert delivered.unfinished == 0


def test_a_choice_at_its_limit_without_a_finish_cannot_go_on():
    delivered = Delivered(2)
    delivered.take([delta(0), delta(1), delta(0, choice=1)])
    assert not delivered.left_all(2)
    assert delivered.left_all(3)
    delivered.take([delta(2, (), "", finish=ipb.FINISH_REASON_LENGTH)])
    assert delivered.left_all(2)
    assert delivered.spent_least() == 1
    assert [(c.finished, c.max_tokens) for c in delivered.resume(5)] == [(True, 0), (False, 4)]


def begun(choices=1):
    delivered = Delivered(choices)
    delivered.take([delta(0, usage=ipb.Usage(prompt_tokens=5))])
    return delivered


def taken(_response, _text):
    return True


def test_a_plain_delta_may_pass_and_counts_as_any_other():
    one, other, texts = begun(), begun(), []

    def write(_, text):
        texts.append(text)
        return True

    for response in (delta(1, text="é"), delta(2, (8, 9), text=""), delta(4, channel=ipb.CHANNEL_REASONING)):
        assert one.pass_on(response, write)
        other.take([response])
    assert one.resume(100) == other.resume(100)
    assert texts == ["é", "", "ab"]


def test_what_cannot_be_written_does_not_count():
    delivered = begun()
    assert not delivered.pass_on(delta(1), lambda *_: False)
    assert delivered.take([delta(1)]) == [delta(1)]


@pytest.mark.parametrize(
    "other",
    [
        delta(1, epoch=1),
        delta(2),
        delta(0),
        delta(1, choice=1),
        delta(1, finish=ipb.FINISH_REASON_STOP),
        delta(1, (), "held back"),
    ],
)
def test_what_is_stale_misplaced_or_decides_something_does_not_pass(other):
    assert not begun().pass_on(other, taken)


def test_nothing_passes_before_an_attempt_has_told_its_usage_nor_after_the_finish():
    delivered = begun()
    delivered.begin(1)
    assert not delivered.pass_on(delta(1, epoch=1), taken)
    delivered = begun()
    delivered.take([delta(1, finish=ipb.FINISH_REASON_LENGTH)])
    assert not delivered.pass_on(delta(2), taken)


@given(
    room=st.integers(0, 30), sizes=st.lists(st.integers(1, 4), max_size=12), tapped=st.lists(st.booleans(), max_size=12)
)
def test_no_more_tokens_are_delivered_than_there_is_room_for(room, sizes, tapped):
    delivered, index = Delivered(1, room), 0
    delivered.take([delta(0, (), "", usage=ipb.Usage(prompt_tokens=1))])
    for size, tap in zip(sizes, tapped, strict=False):
        part = delta(index, range(index, index + size))
        if tap and delivered.pass_on(part, lambda *_: True):
            index += size
        else:
            index += len(delivered.take([part]) and part.token_ids)
        if delivered.cut:
            break
    assert delivered.tokens == index <= room
    assert delivered.room == room - index
    assert delivered.cut or sum(sizes[: len(tapped)]) <= room


def test_what_follows_the_cut_is_left_and_every_choice_ends_there():
    delivered = Delivered(2, 3)
    taken = delivered.take([delta(0, (1, 2)), delta(0, (1, 2), choice=1), delta(2, (3,))])
    assert [list(part.token_ids) for part in taken] == [[1, 2]]
    assert delivered.cut
    ends = delivered.finish_cut()
    assert [(end.choice, end.finish) for end in ends] == [(0, ipb.FINISH_REASON_LENGTH), (1, ipb.FINISH_REASON_LENGTH)]
    assert delivered.unfinished == 0


def test_near_the_end_of_its_room_a_delta_takes_the_ordinary_way():
    delivered = Delivered(1, 10, low=4)
    delivered.take([delta(0, (1,), usage=ipb.Usage(prompt_tokens=1))])
    assert delivered.pass_on(delta(1, range(5)), lambda *_: True)
    assert not delivered.pass_on(delta(6, (1,)), lambda *_: True)
    assert delivered.room == 4
    assert delivered.take([delta(6, (1,))])
