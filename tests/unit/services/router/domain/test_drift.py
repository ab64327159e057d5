from services.router.domain.drift import Drift, DriftRule
from services.router.domain.outcomes import Outcomes

RULE = DriftRule(error_max=0.25, answers=20)


def told(foreseen, found, answers=5, boot="b1", worker="w0"):
    return Outcomes(
        worker, boot, "m", predictions=answers, cached_tokens_predicted=foreseen, cached_tokens_reported=found
    )


def test_a_cache_that_is_smaller_or_larger_than_foreseen_is_drift_after_enough_answers():
    for foreseen, found in ((1000, 500), (500, 1000), (1000, 0)):
        drift = Drift(RULE)
        assert [drift.took(told(foreseen, found)) for _ in range(3)] == [False, False, True]
        assert drift.error("w0") == 0.0


def test_small_and_balanced_errors_are_none():
    drift = Drift(RULE)
    assert not any(drift.took(told(*sums)) for sums in [(1000, 900), (900, 1000), (1000, 800), (0, 100)] * 10)
    assert 0 < drift.error("w0") < 0.25


def test_old_answers_fade():
    drift = Drift(RULE)
    for _ in range(40):
        drift.took(told(1000, 1000))
    assert True in [drift.took(told(1000, 300)) for _ in range(6)]


def test_a_new_life_begins_anew_and_workers_are_told_apart():
    drift = Drift(RULE)
    assert not drift.took(told(1000, 0))
    assert not drift.took(told(1000, 0))
    assert not drift.took(told(1000, 0, boot="b2"))
    assert not drift.took(told(1000, 0, worker="w1"))


def test_answers_without_a_prediction_say_nothing():
    assert not any(Drift(RULE).took(Outcomes("w0", "b1", "m", attempts=100)) for _ in range(50))
