"""`headrace jobs`."""

import json
from functools import partial

import httpx
import pytest
from typer.testing import CliRunner

from cli.client.jobs import JobsClient
from cli.main import app
from tests.unit.cli.client.jobs_fake import JOB, Gateway, job, news, refusal, result, stream

LINES = '{"prompt": "one"}\n{"custom_id": "b", "messages": [{"role": "user", "content": "two"}], "model": "large"}\n'
BATCH = {
    "id": "batch_1",
    "object": "batch",
    "status": "completed",
    "created_at": 1_700_000_000,
    "request_counts": {"total": 2, "completed": 1, "failed": 1},
    "input_file_id": "file-1",
    "output_file_id": "file-2",
}


@pytest.fixture
def shell(monkeypatch, tmp_path):
    def run(*words, answers, code=0, text=None):
        gateway = Gateway(*answers)
        client = partial(JobsClient, transport=gateway, sleep=lambda _: None)
        monkeypatch.setattr("cli.commands.jobs_target.JobsClient", client)
        words = ["jobs", *words, "--url", "http://gateway", "--state-dir", str(tmp_path)]
        done = CliRunner().invoke(app, words, input=text, env={"COLUMNS": "200", "HEADRACE_API_KEY": "sk-hr-1"})
        assert done.exit_code == code, (done.output, done.exception)
        done.requests = gateway.requests
        return done

    return run


def body(request):
    return json.loads(request.content)


def test_submit_hands_over_lines_and_says_the_id_alone_on_stdout(shell, tmp_path):
    (tmp_path / "in.jsonl").write_text(LINES)
    done = shell("submit", str(tmp_path / "in.jsonl"), "--model", "auto", answers=[job("requested", total=2)])
    assert done.stdout == f"{JOB}\n"
    assert "accepted: 2 requests, at most $0.001" in done.stderr
    assert f"headrace jobs watch {JOB}" in done.stderr
    (request,) = done.requests
    assert [each["body"]["model"] for each in body(request)["requests"]] == ["auto", "large"]
    assert set(body(request)) == {"requests"}
    assert request.headers["authorization"] == "Bearer sk-hr-1"


def test_every_submission_has_a_key_of_its_own_or_the_one_that_is_given(shell):
    keys = {shell("submit", "-", answers=[job()], text=LINES).requests[0].headers["idempotency-key"] for _ in range(3)}
    assert len(keys) == 3
    given = shell("submit", "-", "--idempotency-key", "mine", answers=[job()], text=LINES)
    assert given.requests[0].headers["idempotency-key"] == "mine"


def test_submit_passes_its_options_on(shell):
    words = ("--expires", "6h", "--priority", "-3", "--metadata", "run=7", "--metadata", "a=b=c")
    hook = ("--webhook", "https://example.org/h", "--webhook-secret", "s" * 16)
    sent = body(shell("submit", "-", *words, *hook, answers=[job()], text=LINES).requests[0])
    del sent["requests"]
    assert sent == {
        "expires_in_seconds": 21_600,
        "priority": -3,
        "metadata": {"run": "7", "a": "b=c"},
        "webhook": {"url": "https://example.org/h", "secret": "s" * 16},
    }


def test_a_secret_that_was_made_here_is_told_once_and_a_given_one_never(shell):
    hook = ("submit", "-", "--webhook", "https://example.org/h")
    done = shell(*hook, answers=[job()], text=LINES)
    secret = body(done.requests[0])["webhook"]["secret"]
    assert len(secret) >= 32
    assert done.output.count(secret) == 1
    assert secret not in done.stdout
    assert json.loads(shell(*hook, "--json", answers=[job()], text=LINES).stdout)["webhook_secret"]
    assert (
        "given-secret-0123"
        not in shell(*hook, "--webhook-secret", "given-secret-0123", answers=[job()], text=LINES).output
    )


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("", (), "there is no request"),
        ('{"prompt": "a"}\nnonsense\n', (), "standard input, line 2 is not JSON"),
        (LINES, ("--expires", "soon"), "--expires 'soon' is no duration"),
        (LINES, ("--metadata", "run"), "--metadata 'run' is no name=value"),
        ('{"prompt": "a"}\n' * 1001, (), "1,000 requests at most"),
        (LINES, ("--batch", "--priority", "3"), "a batch takes no --priority"),
        (LINES, ("--batch", "--idempotency-key", "k"), "another file"),
    ],
)
def test_what_cannot_be_submitted_is_said_before_anything_is_sent(shell, text, words, said):
    done = shell("submit", "-", *words, answers=[job()], text=text, code=2)
    assert said in done.stderr
    assert "fix: " in done.stderr
    assert done.requests == []


def test_a_batch_is_a_file_and_then_a_batch(shell):
    done = shell("submit", "-", "--batch", "--metadata", "run=7", answers=[{"id": "file-1"}, BATCH], text=LINES)
    assert done.stdout == "batch_1\n"
    upload, batch = done.requests
    assert upload.url.path == "/v1/files"
    assert b'"custom_id": "line-1"' in upload.content
    assert b'name="purpose"\r\n\r\nbatch' in upload.content
    assert body(batch) == {
        "input_file_id": "file-1",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"run": "7"},
    }


@pytest.mark.parametrize(("status", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 1), ("expired", 1)])
def test_watch_ends_with_the_job_and_says_how(shell, status, code):
    text = news(job(version=1), job(done=2, version=2), job(status, done=3, failed=1, version=3))
    done = shell("watch", JOB, answers=[stream(text)], code=code)
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["running", "0/4"],
        ["running", "2/4"],
        [status, "4/4"],
        [JOB, f"{status}:"],
    ]
    assert "4 of 4 done, 1 failed, 30 tokens, $0.0000125, 1 attempt\n" in done.stdout
    assert f"headrace jobs results {JOB}" in done.stderr
    assert "\x1b" not in done.output


def test_watch_says_that_the_platform_is_away_and_back(shell):
    ends = stream(news(job("succeeded", done=4, version=2)))
    done = shell("watch", JOB, answers=[stream(news(job())), *[httpx.ReadError("reset")] * 2, ends])
    assert "no answer from the platform" in done.stdout
    assert "the job goes on" in done.stdout
    assert "there is an answer again" in done.stdout


def test_watch_that_is_given_up_says_how_to_come_back(shell):
    done = shell("watch", JOB, answers=[stream(news(job())), refusal(404, "It has been forgotten.")], code=1)
    assert f"fix: come back with `headrace jobs watch {JOB}`" in done.stderr


def test_watch_for_programs_is_a_document_a_line(shell):
    text = news(job(version=1), job("failed", failed=4, version=3))
    done = shell("watch", JOB, "--json", answers=[stream(text)], code=1)
    assert [json.loads(line)["version"] for line in done.stdout.splitlines()] == [1, 3]


def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(shell, monkeypatch):
    def interrupted(self, _):
        yield job()
        raise KeyboardInterrupt

    monkeypatch.setattr(JobsClient, "watch", interrupted)
    done = shell("watch", JOB, answers=[job()], code=130)
    assert f"{JOB} goes on without you" in done.stderr
    assert f"headrace jobs watch {JOB}" in done.stderr
    assert f"headrace jobs cancel {JOB}" in done.stderr
    assert done.requests == []


def test_submit_and_watch(shell):
    ends = stream(news(job("succeeded", done=4, version=2)))
    done = shell("submit", "-", "--watch", answers=[job("requested"), ends], text=LINES)
    assert done.stdout.splitlines()[0] == JOB
    assert "jobs watch" not in done.stderr
    assert "succeeded: 4 of 4 done" in done.stdout
    lines = shell("submit", "-", "--watch", "--json", answers=[job("requested"), ends], text=LINES).stdout.splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["succeeded"]


def test_results_are_lines_of_json(shell):
    lines = "".join(json.dumps(result(step, status=500 if step == 2 else 200)) + "\n" for step in range(4))
    answers = [job("failed", done=3, failed=1), stream(lines)]
    done = shell("results", JOB, answers=answers, code=1)
    assert [json.loads(line)["custom_id"] for line in done.stdout.splitlines()] == ["c0", "c1", "c2", "c3"]
    assert "é" in done.stdout
    failed = shell("results", JOB, "--failed", answers=answers, code=1)
    assert [json.loads(line)["step"] for line in failed.stdout.splitlines()] == [2]
    assert "1 failed results" in failed.stderr


def test_results_of_a_job_that_goes_on_are_told_from_all_of_them(shell, tmp_path):
    out = tmp_path / "out.jsonl"
    answers = [job("running", done=1), stream(json.dumps(result(0)) + "\n")]
    done = shell("results", JOB, "--out", str(out), answers=answers, code=4)
    assert json.loads(out.read_text())["step"] == 0
    assert done.stdout == ""
    assert "1 results; " in done.stderr
    assert "running: 1 of 4 done" in done.stderr


def test_half_of_the_results_are_no_file(shell, tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("old")
    answers = [job("succeeded"), refusal(404, "There is no job.", "not_found")]
    shell("results", JOB, "--out", str(out), answers=answers, code=1)
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.jsonl"]


def test_a_file_that_cannot_be_written_is_said(shell, tmp_path):
    done = shell("results", JOB, "--out", str(tmp_path / "no" / "f"), answers=[job("succeeded"), stream("")], code=2)
    assert "cannot be written" in done.stderr


def test_list_and_show(shell, monkeypatch):
    monkeypatch.setattr("cli.commands.jobs.time.time", lambda: 1_700_000_000 + 3 * 3_600 + 59)
    page = {"data": [job("running", done=1), job("failed", failed=4)], "has_more": False}
    rows = [line.split() for line in shell("list", "--status", "running", answers=[page]).stdout.splitlines()]
    assert rows[0][:4] == ["job", "status", "done", "failed"]
    assert rows[1] == [JOB, "running", "1/4", "3", "h", "$0.0000125"]
    assert rows[2][:4] == [JOB, "failed", "4/4", "4"]
    shown = shell(
        "show",
        JOB,
        answers=[
            job(
                "failed",
                failed=4,
                error={"code": "invalid_request", "message": "no model 'x\x1b'", "line": 3},
                batch={"input_file_id": "file-1", "output_file_id": "file-2", "error_file_id": None},
                webhook={"url": "https://example.org/h", "state": "delivered", "attempts": 2, "status": 200},
            )
        ],
    ).stdout
    facts = [" ".join(line.split()) for line in shown.splitlines()]
    assert "requests 4: 0 succeeded, 4 failed" in facts
    assert "webhook https://example.org/h: delivered after 2 attempt(s), HTTP 200" in facts
    assert "output file file-2" in facts
    assert not [fact for fact in facts if fact.startswith("error file")]
    assert "error no model 'x?' (line 3 of its file)" in facts
    assert "\x1b" not in shown


def test_batches_are_listed_apart(shell, monkeypatch):
    monkeypatch.setattr("cli.commands.jobs.time.time", lambda: 1_700_000_007)
    done = shell("list", "--batches", answers=[{"data": [BATCH], "has_more": False}])
    assert done.stdout.splitlines()[1].split() == [
        "batch_1", "completed", "2/2", "1", "7", "s", "file-2",
    ]  # fmt: skip
    assert "no jobs here" in shell("list", answers=[{"data": [], "has_more": False}]).stdout


@pytest.mark.parametrize(("status", "code"), [("running", 0), ("cancelled", 0), ("succeeded", 1)])
def test_cancel_says_what_became_of_it(shell, status, code):
    done = shell("cancel", JOB, answers=[job(status)], code=code)
    assert done.requests[0].url.path == f"/v1/jobs/{JOB}/cancel"
    assert f"{JOB} {status}" in done.stdout


def test_an_unknown_job_is_said_with_what_to_do(shell):
    answers = [refusal(404, f"There is no job {JOB!r}.", "not_found")]
    done = shell("show", JOB, answers=answers, code=1)
    assert "There is no job" in done.stderr
    assert "headrace jobs list" in done.stderr
    assert json.loads(shell("show", JOB, "--json", answers=answers, code=1).stdout)["error"]["code"] == "not_found"


def test_commands_say_that_nothing_runs(tmp_path):
    done = CliRunner().invoke(app, ["jobs", "list", "--state-dir", str(tmp_path)], env={"HEADRACE_URL": ""})
    assert done.exit_code == 1
    assert "headrace up" in done.stderr
