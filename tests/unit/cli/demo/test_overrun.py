"""The demo's last part must fail where a ceiling gives way: each expectation has a case that breaks it."""

from dataclasses import replace
from functools import partial

import httpx
import pytest

from cli.client.admin import AdminClient
from cli.client.answer import Answer
from cli.demo import books
from cli.demo.books import check_books, cost_of, say_costs, session_cost, settled
from cli.demo.checks import Checks
from cli.demo.overrun import Overrun, check_cut_stream, check_overrun, overrun
from libs.testing.loop import run_real

STEPS = [Answer(session="s", cost_usd="0.00005"), Answer(session="s", cost_usd="0.0000197")]
HELD = Overrun(113_175, 69_700, STEPS, "insufficient_quota", "HTTP 429: The budget of the API key …")
CUT = Answer(completion_tokens=120, finish="length", truncated="budget", cost_usd="0.00005")
CUT_SPENT = Overrun(62_875, 53_000, [Answer(cost_usd="0.000003"), CUT])


def held(check, *arguments):
    checks = Checks(lambda _: None)
    check(checks, *arguments)
    return checks.all_held


def test_a_refused_overrun_holds():
    assert held(check_overrun, HELD)


@pytest.mark.parametrize(
    "broken",
    [
        replace(HELD, spent=113_176, answers=[Answer(cost_usd="0.000113176")]),
        replace(HELD, spent=69_701),
        replace(HELD, code="", message=""),
        replace(HELD, code="budget_exceeded"),
        replace(HELD, message="HTTP 403: no"),
        replace(HELD, answers=[], spent=0),
    ],
)
def test_an_overrun_that_was_not_refused_is_found(broken):
    assert not held(check_overrun, broken)


def test_a_cut_stream_holds():
    assert held(check_cut_stream, CUT, CUT_SPENT)


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (replace(CUT, finish="stop"), CUT_SPENT),
        (replace(CUT, truncated=""), CUT_SPENT),
        (replace(CUT, completion_tokens=1000), CUT_SPENT),
        (CUT, replace(CUT_SPENT, spent=53_001)),
        (CUT, replace(CUT_SPENT, budget=52_999)),
    ],
)
def test_a_stream_that_went_past_its_budget_is_found(answer, seen):
    assert not held(check_cut_stream, answer, seen)


def test_costs_add_up_to_the_nanodollar():
    said = []
    say_costs(said.append, STEPS)
    assert cost_of(STEPS) == 69_700
    assert said[-1].split() == ["all", "0", "0", "0", "$0.0000697"]


def admin_answering(*documents):
    """An admin client that is answered these documents in turn, the last one for ever."""
    left = list(documents)

    def respond(_):
        return httpx.Response(200, json=left.pop(0) if len(left) > 1 else left[0])

    return AdminClient("http://gateway", "k", httpx.MockTransport(respond))


def spend_of(cost):
    return {"data": [{"value": "other", "cost_usd": "9"}, {"value": "s", "cost_usd": cost}]}


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    monkeypatch.setattr(books, "BOOKED_SECONDS_MAX", 0.2)


def test_the_books_are_waited_for():
    checks = Checks(lambda _: None)
    with admin_answering({"data": []}, spend_of("0.00001"), spend_of("0.0000697")) as admin:
        run_real(check_books(checks, admin, "REST", STEPS))
    assert checks.all_held


@pytest.mark.parametrize("booked", ["0.0000698", "0.0000696", "0"])
def test_books_that_do_not_add_up_are_found(booked):
    checks = Checks(lambda _: None)
    with admin_answering(spend_of(booked)) as admin:
        run_real(check_books(checks, admin, "REST", STEPS))
    assert not checks.all_held


def test_a_session_that_is_not_in_the_books_cost_nothing():
    with admin_answering({"data": []}) as admin:
        assert session_cost(admin, "s") == "0"


def test_what_is_held_is_waited_for():
    states = [{"state": {"held_usd": held, "settled_usd": "0.5"}} for held in ("0.1", "0", "0")]
    with admin_answering(*states) as admin:
        assert run_real(settled(admin, "k")) == 500_000_000


def test_an_agent_stops_at_the_first_refusal(monkeypatch):
    """Two answers, then 429; the key it uses is the one that was made for it."""
    usage = (
        'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2},"headrace":{"worker":"w",'
        '"cached_tokens":0,"attempts":1,"resumed":false,"cost_usd":"0.00005","truncated":null}}\n\ndata: [DONE]\n\n'
    )
    refusal = {"error": {"message": "The budget is spent.", "code": "insufficient_quota"}}
    told = [httpx.Response(200, text=usage), httpx.Response(200, text=usage), httpx.Response(429, json=refusal)]
    keys = []

    def answer(request):
        keys.append(request.headers["authorization"])
        return told[len(keys) - 1]

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr("cli.client.rest.httpx.AsyncClient", partial(httpx.AsyncClient, transport=transport))
    made = {"secret": "sk-hr-purse", "key": {"id": "key_1"}}
    state = {"state": {"held_usd": "0", "settled_usd": "0.0001"}}
    with admin_answering(made, state) as admin:
        seen = run_real(overrun("http://gateway", admin, 50_000, lambda _: None))
    assert (len(seen.answers), seen.budget, seen.spent) == (2, 112_500, 100_000)
    assert keys == ["Bearer sk-hr-purse"] * 3
    assert held(check_overrun, seen)
    assert seen.document()["refused"]["code"] == "insufficient_quota"
