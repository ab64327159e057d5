import pytest

from libs.errors import PlatformError, Reason
from services.inference.adapters.vllm.admission import Admission


def test_places_are_taken_and_given_back():
    admission = Admission(running_max=2, waiting_max=1)
    admission.enter(3)
    with pytest.raises(PlatformError) as refused:
        admission.enter(1)
    assert (refused.value.reason, refused.value.started) == (Reason.OVERLOADED, False)
    admission.leave()
    admission.enter(1)
    assert admission.active == 3


def test_more_choices_than_there_will_ever_be_places_is_the_requests_fault():
    with pytest.raises(PlatformError) as refused:
        Admission(running_max=2, waiting_max=1).enter(4)
    assert (refused.value.reason, refused.value.param) == (Reason.INVALID_REQUEST, "n")


def test_the_retry_hint_follows_how_long_answers_take_within_bounds():
    admission = Admission(running_max=1, waiting_max=4)
    short = admission.retry_after()
    for _ in range(50):
        admission.enter(1)
        admission.leave(6.0)
    assert 1 <= short < admission.retry_after() <= 30
    for _ in range(200):
        admission.enter(1)
        admission.leave(600.0)
    assert admission.retry_after() == 30
