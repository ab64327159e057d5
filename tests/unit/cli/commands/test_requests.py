"""`headrace requests`."""

from functools import partial

import httpx
import pytest
from typer.testing import CliRunner

from cli.client.admin import AdminClient
from cli.main import app
from services.gateway.domain.request_record import AttemptRecord, ChoiceTexts, RequestRecord, TextState, TurnText

RECORD = RequestRecord(
    id="chatcmpl-1",
    tenant="acme",
    key="key_1",
    at=1_700_000_000.0,
    end_user="eve",
    session="trip",
    session_source="x-session-id",
    model="small",
    worker="inference-1",
    placed_by="bound",
    attempts=(AttemptRecord("inference-0", "death"), AttemptRecord("inference-1", "answered")),
    first_token_ms=12.0,
    total_ms=80.0,
    prompt_tokens=30,
    cached_tokens=16,
    completion_tokens=5,
    reprefill_tokens=31,
    cost_nanodollars=12_500,
    finish_reasons=("length",),
    truncated="budget",
    tags={"feature": "search"},
    text=TextState.STORED,
    prompt=(TurnText("user", "one\n\x1b[2Jtwo"),),
    answers=(ChoiceTexts("well"),),
)


@pytest.fixture
def show(monkeypatch, tmp_path):
    def shown(record, *words, status=200):
        document = record.shown() if status == 200 else record
        transport = httpx.MockTransport(lambda _: httpx.Response(status, json=document))
        monkeypatch.setattr("cli.commands.target.AdminClient", partial(AdminClient, transport=transport))
        given = ["requests", "show", "chatcmpl-1", "--url", "http://gateway", "--state-dir", str(tmp_path), *words]
        return CliRunner().invoke(app, given, env={"COLUMNS": "200"})

    return shown


def test_a_request_says_what_became_of_it(show):
    lines = [" ".join(line.split()) for line in show(RECORD).stdout.splitlines()]
    for line in (
        "session trip (x-session-id)",
        "worker inference-1 (bound)",
        "tokens 30 prompt, 16 cached, 5 completion, 31 reprefill",
        "cost $0.0000125",
        "cut by budget",
        "tags feature=search",
        "inference-0 death",
        "answer: well",
    ):
        assert line in lines


def test_its_texts_cannot_steer_the_terminal(show):
    said = show(RECORD).stdout
    assert "user: one\n?[2Jtwo" in said
    assert "\x1b" not in said


def test_a_request_that_never_came_to_a_worker(show):
    bare = RequestRecord(id="r", tenant="acme", key="k", at=1.0, model="small", error="RATE_LIMITED")
    said = show(bare).stdout
    assert "RATE_LIMITED" in said
    assert "worker" not in said


def test_an_unknown_one_is_said(show):
    done = show({"error": {"message": "There is no record of a request 'x'", "code": "not_found"}}, status=404)
    assert done.exit_code == 1
    assert "no record of a request" in done.stderr
    assert "--tenant" in done.stderr
    assert "keys list" not in done.stderr
