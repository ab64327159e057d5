"""The demo must fail where it should: each expectation has a case that breaks it."""

from dataclasses import replace

import pytest

from cli.client.answer import Answer
from cli.demo.checks import Checks
from cli.demo.lost_worker import LONG_TOKENS, Victim, check_lost_worker
from cli.demo.run import STARTED_AT, demo_started_at, target_words
from cli.demo.session import check_session

COLD = Answer(text="a", worker="inference-0", prompt_tokens=400, cached_tokens=0, ttft_ms=700.0)
WARM = Answer(text="b", worker="inference-0", prompt_tokens=450, cached_tokens=390, ttft_ms=90.0)
GOOD = [COLD, *[WARM] * 4]
WHOLE = Answer(worker="inference-1", attempts=2, completion_tokens=LONG_TOKENS, finish="length")
KILLED = Victim("inference-0", "b0", 17, pieces=100, pieces_after=88, longest_gap_ms=300.0)


def checked(check, *arguments):
    said = []
    checks = Checks(said.append)
    check(checks, *arguments)
    assert len(said) == len(checks.results)
    return checks


def test_a_good_session_holds():
    assert checked(check_session, "REST", GOOD).all_held


@pytest.mark.parametrize(
    "broken",
    [
        GOOD[:4],
        [*GOOD[:4], replace(WARM, text="")],
        [*GOOD[:4], replace(WARM, worker="inference-1")],
        [*GOOD[:4], replace(WARM, cached_tokens=100)],
        [COLD, *[replace(WARM, ttft_ms=800.0)] * 4],
    ],
)
def test_a_session_that_does_not_hold_is_found(broken):
    assert not checked(check_session, "REST", broken).all_held


def test_a_stream_that_went_on_holds():
    assert checked(check_lost_worker, WHOLE, KILLED).all_held


@pytest.mark.parametrize(
    ("answer", "victim"),
    [
        (WHOLE, replace(KILLED, pid=0)),
        (WHOLE, replace(KILLED, pieces_after=0)),
        (replace(WHOLE, attempts=1), KILLED),
        (replace(WHOLE, worker="inference-0"), KILLED),
        (replace(WHOLE, completion_tokens=LONG_TOKENS - 1), KILLED),
        (replace(WHOLE, finish="stop"), KILLED),
    ],
)
def test_a_stream_that_did_not_go_on_is_found(answer, victim):
    assert not checked(check_lost_worker, answer, victim).all_held


def test_nothing_checked_is_nothing_held():
    assert not Checks(print).all_held


def test_the_target_is_said_either_way():
    assert "within the target" in target_words(153.0)
    assert "MISSES the target" in target_words(181.0)


def test_the_clock_starts_where_make_says(monkeypatch):
    monkeypatch.setenv(STARTED_AT, "1700000000")
    assert demo_started_at() == 1_700_000_000.0
    monkeypatch.setenv(STARTED_AT, "yesterday")
    assert demo_started_at() > 1_700_000_000.0
