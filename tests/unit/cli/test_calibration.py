from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.calibration import calibrated
from services.router.domain.classifier import Judgement


def sure(score: float) -> Judgement:
    return Judgement(0.5, unsure=False, score=score)


UNSURE = Judgement(None, unsure=True, score=0.5)


@given(st.lists(st.integers(1, 999), min_size=1, unique=True), st.floats(0, 1))
def test_distinct_scores_give_the_share_to_within_one_turn(thousandths: list[int], wanted: float):
    judged = [sure(each / 1000) for each in thousandths]
    found = calibrated(judged, wanted, unsure_is_strong=True)
    assert sum(each.score >= found.threshold for each in judged) == round(wanted * len(judged))
    assert found.note == ""


def test_unsure_turns_count_where_policy_sends_them():
    judged = [sure(0.1), sure(0.2), sure(0.8), UNSURE]
    assert calibrated(judged, 0.5, unsure_is_strong=True).threshold == pytest.approx(0.5)
    assert calibrated(judged, 0.5, unsure_is_strong=False).threshold == pytest.approx(0.15)


def test_too_many_unsure_turns_are_told():
    found = calibrated([sure(0.3), UNSURE, UNSURE], 0.3, unsure_is_strong=True)
    assert found.threshold == 1.0
    assert found.achieved == pytest.approx(2 / 3)
    assert "policy.unsure" in found.note


def test_unsure_turns_alone_still_give_a_threshold():
    found = calibrated([UNSURE], 1.0, unsure_is_strong=False)
    assert (found.achieved, found.unsure, found.quantiles) == (0.0, 1, {})
    assert "whatever the threshold" in found.note


def test_equal_scores_go_together_and_that_is_told():
    found = calibrated([sure(0.5)] * 4, 0.5, unsure_is_strong=True)
    assert found.achieved == 1.0
    assert "same score" in found.note
