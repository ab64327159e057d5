from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.domain.output.stop import StopMatcher


def feed_all(matcher, pieces):
    return [matcher.feed(piece) for piece in pieces]


def test_text_before_a_stop_string_goes_out_and_nothing_after_it():
    matcher = StopMatcher(["STOP"])
    assert feed_all(matcher, ["abSTO", "Pcd", "more"]) == ["ab", "", ""]
    assert matcher.matched == "STOP"


def test_a_possible_beginning_is_held_and_let_out_when_it_was_none():
    matcher = StopMatcher(["STOP"])
    assert feed_all(matcher, ["xST", "x"]) == ["x", "STx"]


def test_what_is_held_at_the_end_is_released():
    matcher = StopMatcher(["STOP"])
    assert matcher.feed("xSTO") == "x"
    assert matcher.release() == "STO"
    assert matcher.release() == ""


def test_the_match_that_is_complete_first_wins_then_the_longer_one():
    matcher = StopMatcher(["bcd", "bc", "abc"])
    assert matcher.feed("xabcd") == "x"
    assert matcher.matched == "abc"


def test_empty_stop_strings_mean_nothing():
    matcher = StopMatcher([""])
    assert matcher.feed("x") == "x"


TEXT = st.text(alphabet="abc", max_size=20)


@given(
    text=TEXT,
    stops=st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3),
    cuts=st.sets(st.integers(0, 20)),
)
def test_the_result_does_not_depend_on_the_cuts(text, stops, cuts):
    whole, cut = StopMatcher(stops), StopMatcher(stops)
    places = [0, *sorted(c for c in cuts if c < len(text)), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    joined = "".join(feed_all(cut, pieces))
    if cut.matched is None:
        joined += cut.release()
    expected = whole.feed(text)
    if whole.matched is None:
        expected += whole.release()
        assert expected == text
    assert (joined, cut.matched) == (expected, whole.matched)
    assert not any(stop in joined for stop in stops)


@pytest.mark.parametrize("piece", ["a", "b"])
def test_one_character_stops(piece):
    matcher = StopMatcher(["a", "b"])
    assert matcher.feed("x" + piece) == "x"
    assert matcher.matched == piece
