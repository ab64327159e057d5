from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.ledger.estimate import FIRST_TOKENS, LEAST_TOKENS, OutputEstimates

KIND = ("key", "model", "user/text")


def test_a_kind_that_was_never_seen_is_held_for_a_usual_answer():
    assert OutputEstimates().tokens(KIND, 100_000) == FIRST_TOKENS


@given(st.integers(1, 10_000), st.lists(st.integers(0, 10_000), max_size=30))
def test_no_hold_is_longer_than_the_answer_may_be(most, seen):
    estimates = OutputEstimates()
    for tokens in seen:
        estimates.learn(KIND, tokens)
    assert min(most, LEAST_TOKENS) <= estimates.tokens(KIND, most) <= most


def test_answers_of_one_length_are_held_for_about_that_length():
    estimates = OutputEstimates()
    for _ in range(60):
        estimates.learn(KIND, 200)
    assert 200 <= estimates.tokens(KIND, 100_000) <= 210


def test_answers_that_differ_are_held_for_the_long_ones_too():
    estimates = OutputEstimates()
    for turn in range(200):
        estimates.learn(KIND, 100 if turn % 2 else 300)
    assert estimates.tokens(KIND, 100_000) >= 300


def test_kinds_learn_by_themselves_and_the_oldest_is_forgotten():
    estimates = OutputEstimates(kept_max=2)
    for name in ("a", "b", "c"):
        estimates.learn((name, "m", "s"), 1000)
    assert estimates.tokens(("a", "m", "s"), 100_000) == FIRST_TOKENS
    assert estimates.tokens(("c", "m", "s"), 100_000) > 1000
