"""`headrace explain --request`."""

from __future__ import annotations

import json
from functools import partial

import httpx
import pytest
from typer.testing import CliRunner

from cli.client.admin import AdminClient
from cli.main import app
from services.gateway.domain.plan import Candidate
from services.gateway.domain.request_record import AttemptRecord, RequestRecord
from services.gateway.domain.route import Choice, Decision, PassedOver, Route, Skipped
from services.gateway.domain.route_record import route_record

ROUTE = Route(
    "auto",
    (
        Choice("large", "classified", "large"),
        Choice("large-b", "fallback-same-tier", "large", "b", "large"),
        Choice("small", "fallback-down", "small"),
    ),
    Decision(
        "large", 0.183, why="maths\x1b[2J asked", features=(("maths", 1.25), ("short", -0.5)), previous_tier="small"
    ),
    used=1,
    candidates=(Candidate("w2", "a:1", "b", "d", "prefix", 512, 96.4), Candidate("w3", "a:2", "b", "d", "spare")),
    skipped=[Skipped("w9", "breaker-open")],
    predicted=512,
    passed_over=[PassedOver("large", "NO_WORKER", tried=True)],
)
RECORD = RequestRecord(
    id="chatcmpl-1",
    tenant="acme",
    key="key_1",
    at=1_700_000_000.0,
    session="trip",
    session_source="x-session-id",
    model="large-b",
    worker="w2",
    placed_by="prefix",
    route=route_record(ROUTE),
    attempts=(AttemptRecord("w1", "death", "WORKER_LOST"), AttemptRecord("w2", "answered", first_token_ms=41.7)),
    first_token_ms=60.0,
    total_ms=900.0,
    prompt_tokens=600,
    cached_tokens=496,
    completion_tokens=50,
    cost_nanodollars=12_500,
)


@pytest.fixture
def explain(monkeypatch, tmp_path):
    def explained(record, *words, status=200):
        document = record.shown() if status == 200 else record
        transport = httpx.MockTransport(lambda _: httpx.Response(status, json=document))
        monkeypatch.setattr("cli.commands.target.AdminClient", partial(AdminClient, transport=transport))
        given = ["explain", "--request", "chatcmpl-1", "--url", "http://gateway", "--state-dir", str(tmp_path), *words]
        return CliRunner().invoke(app, given, env={"COLUMNS": "200"})

    return explained


def said(result):
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_a_request_is_explained_in_words(explain):
    lines = said(explain(RECORD))
    for line in (
        "asked for auto",
        "answered by large-b (another pool of the tier, variant b)",
        "small would do with a probability of 0.18",
        "why maths?[2J asked",
        "tier before small",
        "binding trip (x-session-id)",
        "cached tokens 496 of 600 prompt tokens, 512 foreseen",
        "cost $0.0000125",
        "maths +1.25 speaks for large",
        "short -0.50 speaks for small",
        "large large judged from the turn tried: no worker",
        "large-b large b another pool of the tier answered",
        "small small the next tier down not needed",
        "w2 prefix 512 96",
        "w9 breaker-open",
        "w1 death WORKER_LOST",
        "w2 answered 42",
    ):
        assert line in lines


def test_a_named_model_has_no_more_to_explain(explain):
    record = RequestRecord(id="c", tenant="acme", key="k", at=1.0, model="m", route=route_record(Route("m")))
    lines = said(explain(record))
    assert "answered by m (named by the caller)" in lines
    assert "cached tokens 0 of 0 prompt tokens, not foreseen" in lines
    # A record of a version that kept no route.
    assert "asked for m" in said(explain(RequestRecord(id="c", tenant="acme", key="k", at=1.0, model="m")))


def test_a_stored_answer_says_whose_it_is(explain):
    route = route_record(Route("m", replayed_from="chatcmpl-0"))
    lines = said(explain(RequestRecord(id="c", tenant="acme", key="k", at=1.0, model="m", route=route)))
    assert "stored answer of chatcmpl-0: no worker could answer" in lines


def test_json_is_the_records(explain):
    found = json.loads(explain(RECORD, "--json").stdout)
    assert found["route"] == RECORD.shown()["route"]
    assert found["attempts"][1]["first_token_ms"] == 41.7


def test_a_request_that_is_not_there_is_an_error_in_words(explain):
    error = {"error": {"message": "There is no such request.", "type": "x", "param": None, "code": "not_found"}}
    result = explain(error, status=404)
    assert result.exit_code != 0
    assert "There is no such request." in result.output
