"""The demo's job must fail where a result or a charge is lost or doubled: each expectation is broken once."""

from dataclasses import replace

import pytest

from cli.demo.checks import Checks
from cli.demo.jobs import LongWork, check_long_work, lines, result_line

TOKENS = sum(line.body["max_tokens"] for line in lines())
JOB = {
    "id": "job_1",
    "status": "succeeded",
    "attempts": 4,
    "requests": {"total": 24, "succeeded": 24, "failed": 0},
    "usage": {"completion_tokens": TOKENS},
    "cost_usd": "0.0000125",
}


def answered(line, status=200):
    body = {"choices": [{"message": {"content": "so\nit \x1b[2J is"}}], "usage": {"completion_tokens": 4}}
    return {"custom_id": line.custom_id, "response": {"status_code": status, "request_id": "r", "body": body}}


RESULTS = [answered(line) for line in lines()]
GOOD = LongWork(JOB, RESULTS, pid=7, done_then=8, attempts_then=2, recorded=12_500, charged=12_500)


def held(seen):
    checks = Checks(lambda _: None)
    check_long_work(checks, seen)
    return checks.all_held


def test_a_job_whose_results_are_there_once_holds():
    assert held(GOOD)


@pytest.mark.parametrize(
    "broken",
    [
        replace(GOOD, pid=0),
        replace(GOOD, done_then=24),
        replace(GOOD, attempts_then=4),
        replace(GOOD, results=RESULTS[1:]),
        replace(GOOD, results=[*RESULTS, RESULTS[0]]),
        replace(GOOD, results=[*RESULTS[1:], RESULTS[1]]),
        replace(GOOD, results=[*RESULTS[1:], answered(lines()[0], 500)]),
        replace(GOOD, job=JOB | {"status": "failed"}),
        replace(GOOD, job=JOB | {"usage": {"completion_tokens": TOKENS + 4}}),
        replace(GOOD, charged=12_501),
        replace(GOOD, recorded=12_499),
        replace(GOOD, job=JOB | {"cost_usd": "0"}, charged=0, recorded=0),
    ],
)
def test_what_is_lost_or_doubled_is_found(broken):
    assert not held(broken)


def test_a_row_says_who_and_what_and_steers_no_terminal():
    assert result_line(RESULTS[0]).split() == ["place-01", "200", "4", "tokens", "so", "it", "?[2J", "is"]
    refused = {"status_code": 429, "body": {"error": {"message": "no more"}}}
    assert result_line({"custom_id": "a", "response": refused}).split() == ["a", "429", "0", "tokens", "no", "more"]


def test_every_request_has_a_name_and_a_length_of_its_own():
    assert len({line.custom_id for line in lines()}) == len({line.body["max_tokens"] for line in lines()}) == 24
