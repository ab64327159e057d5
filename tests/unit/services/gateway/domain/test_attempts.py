"""The rule of further attempts, driven by every history hypothesis can think of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.errors import PlatformError, Reason
from services.gateway.domain.attempts import HARMLESS, LOSSES, Attempts, Caps, Outcome, PastAttempt, Verdict, outcome_of

DEADLY = {Outcome.DEATH}
LIVES = st.booleans()
# Of few kinds at a time, or hardly a history would have any of them often enough to reach its cap.
STEPS = st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=3, unique=True).flatmap(
    lambda kinds: st.lists(st.tuples(st.sampled_from(kinds), LIVES, st.booleans()), min_size=1, max_size=12)
)


def play(steps, *, resumable, budget):
    """Runs outcomes until the rule says stop; returns the history. `LOST` is probed as the use case does."""
    attempts, sent = Attempts(Caps()), False
    for number, (outcome, lives, sends) in enumerate(steps):
        sent = sent or (sends and outcome is not Outcome.NOT_STARTED)
        attempts.add(PastAttempt(f"w{number}", f"w{number}", "b", outcome))
        verdict = attempts.verdict(sent=sent, resumable=resumable)
        if verdict is Verdict.PROBE:
            for lost in attempts.unknown():
                lost.outcome = Outcome.DISCONNECT if lives else Outcome.DEATH
            verdict = attempts.verdict(sent=sent, resumable=resumable)
            assert verdict is not Verdict.PROBE
        if verdict is Verdict.STOP or (verdict is Verdict.RETRY and not budget):
            return attempts.ended, sent, True
    return attempts.ended, sent, False


@given(steps=STEPS, resumable=st.booleans(), budget=st.booleans())
def test_caps_hold_in_every_history(steps, resumable, budget):
    ended, _, stopped = play(steps, resumable=resumable, budget=budget)
    went_on = ended[:-1] if stopped else ended
    outcomes = [attempt.outcome for attempt in went_on]
    losses = [outcome for outcome in outcomes if outcome in LOSSES]
    assert Outcome.FINAL not in outcomes
    assert outcomes.count(Outcome.NOT_STARTED) <= 2
    assert outcomes.count(Outcome.FAILED) <= (2 if budget else 0)
    assert len(losses) <= 2
    assert sum(outcome in DEADLY for outcome in losses) <= 1 or any(outcome in HARMLESS for outcome in losses)
    if len(losses) == 2:
        assert any(outcome in HARMLESS for outcome in losses)


@given(steps=STEPS)
def test_what_was_sent_and_cannot_be_rebuilt_is_never_tried_again(steps):
    attempts = Attempts(Caps())
    for number, (outcome, _, _) in enumerate(steps):
        attempts.add(PastAttempt(f"w{number}", f"w{number}", "b", outcome))
        verdict = attempts.verdict(sent=True, resumable=False)
        if outcome is not Outcome.NOT_STARTED:
            assert verdict is Verdict.STOP


@given(
    steps=st.lists(st.sampled_from([Outcome.DEATH, Outcome.NOT_STARTED, Outcome.DISCONNECT, Outcome.DRAIN]), max_size=8)
)
def test_after_two_deaths_alone_nothing_follows(steps):
    attempts = Attempts(Caps())
    for number, outcome in enumerate(steps):
        attempts.add(PastAttempt(f"w{number}", f"w{number}", "b", outcome))
    if steps and steps[-1] is Outcome.DEATH and [s for s in steps if s in LOSSES] == [Outcome.DEATH] * 2:
        assert attempts.verdict(sent=False, resumable=False) is Verdict.STOP


def test_failures_after_something_was_sent_stop():
    attempts = Attempts(Caps())
    attempts.add(PastAttempt("a", "a", "b", Outcome.FAILED))
    assert attempts.verdict(sent=True, resumable=True) is Verdict.STOP
    assert attempts.verdict(sent=False, resumable=False) is Verdict.RETRY


def test_excluded_workers_are_named_once_and_the_living_come_last():
    attempts = Attempts(Caps())
    for worker, outcome in (("a", Outcome.DEATH), ("b", Outcome.DISCONNECT), ("a", Outcome.NOT_STARTED)):
        attempts.add(PastAttempt(worker, worker, "b", outcome))
    assert attempts.excluded(also_living=True) == ("a", "b")
    assert attempts.excluded(also_living=False) == ("a",)


@pytest.mark.parametrize(
    ("reason", "started", "outcome"),
    [
        (Reason.WORKER_LOST, True, Outcome.LOST),
        (Reason.CANCELLED, True, Outcome.LOST),
        (Reason.WORKER_LOST, False, Outcome.NOT_STARTED),
        (Reason.DRAINING, True, Outcome.DRAIN),
        (Reason.DRAINING, False, Outcome.NOT_STARTED),
        (Reason.ENGINE_DEAD, True, Outcome.DEATH),
        (Reason.OVERLOADED, False, Outcome.NOT_STARTED),
        (Reason.WRONG_DIGEST, False, Outcome.NOT_STARTED),
        (Reason.MODEL_NOT_FOUND, False, Outcome.NOT_STARTED),
        (Reason.INVALID_API_KEY, False, Outcome.NOT_STARTED),
        (Reason.INTERNAL, True, Outcome.FAILED),
        (Reason.UPSTREAM_ERROR, True, Outcome.FAILED),
        (Reason.SLOW_READER, True, Outcome.FAILED),
        (Reason.INVALID_SCHEMA, False, Outcome.FINAL),
        (Reason.INVALID_REQUEST, True, Outcome.FINAL),
        (Reason.PAYLOAD_TOO_LARGE, False, Outcome.FINAL),
        (Reason.DEADLINE_EXCEEDED, True, Outcome.FINAL),
        (Reason.DEADLINE_EXCEEDED, False, Outcome.FINAL),
        (Reason.UNIMPLEMENTED, False, Outcome.FINAL),
    ],
)
def test_outcomes(reason, started, outcome):
    assert outcome_of(PlatformError(reason, "", started=started)) is outcome
