"""Long work on a whole platform: handed over in every way, killed, cancelled, restarted; every result is there once."""

import json
import os
import signal

import httpx
import openai
import pytest

from libs.money import from_dollars

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
ENDED = {"succeeded", "failed", "cancelled", "expired"}
# What a consumer that died left is taken over after seconds, so that the tests need no minutes.
QUICK = {
    "grace_seconds": 1.0,
    "services": {
        "inference": {"simulated": {"inter_token_ms": 10.0, "prefill_ms_per_token": 0.5}},
        "jobs": {
            "attempts": {"lease_seconds": 2.0},
            "agenda": {"resend_seconds": 2.0},
            "consumer": {"session_timeout_ms": 3_000},
        },
    },
}


@pytest.fixture(scope="module")
def works(make_platform):
    made = make_platform("jobs")
    made.configure(**QUICK)
    return made.up("--workers", "1").answers().all_ready()


def asks(count, tokens):
    """Lines of a file; `tokens` gives the length of each answer."""
    return [
        {"custom_id": f"c{at:03d}", "prompt": f"Say {at}.", "max_tokens": tokens(at), "ignore_eos": True}
        for at in range(count)
    ]


@pytest.fixture
def written(tmp_path):
    def write(lines):
        path = tmp_path / "in.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return str(path)

    return write


def submitted(platform, path, *more):
    accepted = platform.run("jobs", "submit", path, *more)
    assert accepted.returncode == 0, accepted.stderr
    return accepted.stdout.strip()


def get(platform, path, key=None):
    return httpx.get(
        f"{platform.url}{path}", headers={"authorization": f"Bearer {key or platform.key}"}, timeout=30, trust_env=False
    )


def standing(platform, job, key=None):
    return get(platform, f"/v1/jobs/{job}", key).json()


def done(platform, job, key=None):
    return standing(platform, job, key)["requests"]["succeeded"]


def results(platform, job):
    return [json.loads(line) for line in get(platform, f"/v1/jobs/{job}/results").text.splitlines()]


def once(found, lines):
    """Every request has one result, which is an answer of the length that was asked for."""
    assert [each["custom_id"] for each in found] == [line["custom_id"] for line in lines]
    assert {each["response"]["status_code"] for each in found} == {200}
    lengths = [each["response"]["body"]["usage"]["completion_tokens"] for each in found]
    assert lengths == [line["max_tokens"] for line in lines]


def test_the_command_hands_over_a_file_and_fetches_what_came_of_it(works, written, tmp_path):
    lines = asks(5, lambda at: 4 + at)
    ended = works.run("jobs", "submit", written(lines), "--metadata", "run=7", "--watch")
    assert ended.returncode == 0, ended.stderr
    job = ended.stdout.splitlines()[0]
    assert f"{job} succeeded: 5 of 5 done" in ended.stdout
    assert f"headrace jobs results {job}" in ended.stderr
    assert works.run("jobs", "results", job, "--out", str(tmp_path / "out")).returncode == 0
    found = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    once(found, lines)
    assert found[0]["response"]["body"]["object"] == "chat.completion"
    shown = works.json("jobs", "show", job)
    assert (shown["metadata"], shown["requests"]["succeeded"]) == ({"run": "7"}, 5)
    assert job in [each["id"] for each in works.json("jobs", "list")["jobs"]]


def test_a_submission_that_is_repeated_is_one_job(works, written):
    path = written(asks(2, lambda _: 3))
    first = submitted(works, path, "--idempotency-key", "same")
    assert submitted(works, path, "--idempotency-key", "same") == first
    other = works.run("jobs", "submit", written(asks(3, lambda _: 3)), "--idempotency-key", "same", "--json")
    assert other.returncode == 1
    assert "error" in json.loads(other.stdout)


def test_a_bad_request_is_named_and_nothing_is_accepted(works, written):
    before = len(get(works, "/v1/jobs").json()["data"])
    refused = works.run("jobs", "submit", written([{"prompt": "hi"}, {"prompt": "hi", "temperature": 9}]))
    assert refused.returncode == 1
    assert "temperature" in refused.stderr
    assert len(get(works, "/v1/jobs").json()["data"]) == before


def test_one_chat_request_is_a_job_over_rest(works, wait_until):
    body = {"model": "small", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 6, "ignore_eos": True}
    headers = {"authorization": f"Bearer {works.key}", "idempotency-key": "one"}
    made = httpx.post(f"{works.url}/v1/jobs", json=body, headers=headers, trust_env=False)
    assert made.status_code == 202, made.text
    where = made.headers["location"]
    ended = wait_until(lambda: (job := get(works, where).json())["status"] in ENDED and job, "the job to end")
    assert ended["status"] == "succeeded"
    assert ended["result"]["usage"]["completion_tokens"] == 6
    again = httpx.post(f"{works.url}/v1/jobs", json=body, headers=headers, trust_env=False)
    assert again.json()["id"] == made.json()["id"]


def test_the_openai_client_makes_a_batch(works, wait_until):
    body = {"model": "small", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "ignore_eos": True}
    wrong = body | {"model": "nobody-serves-this"}
    lines = [
        {"custom_id": f"b{at}", "method": "POST", "url": "/v1/chat/completions", "body": wrong if at == 3 else body}
        for at in range(6)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    with openai.OpenAI(base_url=f"{works.url}/v1", api_key=works.key, max_retries=0, timeout=30) as client:
        file = client.files.create(file=("in.jsonl", text), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"run": "7"}
        )
        over = {"completed", "failed", "expired", "cancelled"}
        ended = wait_until(
            lambda: (seen := client.batches.retrieve(batch.id)).status in over and seen, "the batch to end", 40
        )
        assert ended.status == "completed", ended
        counts = ended.request_counts
        assert (counts.total, counts.completed, counts.failed) == (6, 5, 1)
        good = [json.loads(line) for line in client.files.content(ended.output_file_id).text.splitlines()]
        bad = [json.loads(line) for line in client.files.content(ended.error_file_id).text.splitlines()]
    assert [line["custom_id"] for line in good] == ["b0", "b1", "b2", "b4", "b5"]
    assert [line["custom_id"] for line in bad] == ["b3"]
    assert batch.id in [each["id"] for each in works.json("jobs", "list", "--batches")["jobs"]]


def test_a_consumer_that_is_killed_half_way_loses_and_doubles_nothing(works, written, wait_until):
    lines = asks(60, lambda at: 10 + 2 * at)
    made = works.json("keys", "create", "--name", "killed", "--budget", "5")
    job = submitted(works, written(lines), "--key", made["key"])
    wait_until(lambda: done(works, job, made["key"]) >= 10, "some results", 20)
    before = standing(works, job)
    assert before["status"] == "running"
    os.kill(works.processes()["jobs"]["pid"], signal.SIGKILL)
    watched = works.run("jobs", "watch", job, "--key", made["key"], timeout=90)
    assert watched.returncode == 0, (watched.stdout, watched.stderr)
    once(results(works, job), lines)
    after = standing(works, job)
    assert after["attempts"] > before["attempts"]
    assert after["usage"]["completion_tokens"] == sum(line["max_tokens"] for line in lines)

    owner = f"/v1/admin/budgets?key={made['id']}"
    wait_until(lambda: get(works, owner).json()["state"]["held_usd"] == "0", "the reservation to be given back", 20)
    settled = get(works, owner).json()["state"]["settled_usd"]
    assert from_dollars(settled) == from_dollars(after["cost_usd"]) > 0
    rows = works.json("spend", "--by", "key", "--days", "2")["data"]
    spent = {row["value"]: row for row in rows}[made["id"]]
    tokens = after["usage"]["completion_tokens"]
    assert (spent["completion_tokens"], spent["cost_usd"]) == (tokens, after["cost_usd"])


def test_a_cancelled_job_ends_at_once_and_stops_its_answers(works, written, wait_until):
    job = submitted(works, written(asks(8, lambda _: 1500)))
    wait_until(lambda: standing(works, job)["running_tokens"] > 0, "the job to run")
    cancelled = works.run("jobs", "cancel", job)
    assert cancelled.returncode == 0, cancelled.stderr
    watched = works.run("jobs", "watch", job, timeout=20)
    assert watched.returncode == 1
    assert "cancelled" in watched.stdout

    def idle():
        workers = [each["routed"] for each in works.json("status")["processes"] if each["kind"] == "worker"]
        return all(each and each["running"] == 0 for each in workers)

    wait_until(idle, "the answers to be stopped", 10)


def test_an_unknown_job_is_said_with_what_to_do(works):
    unknown = works.run("jobs", "watch", "job_000000000000000000000000")
    assert unknown.returncode == 1
    assert "headrace jobs list" in unknown.stderr


def test_a_platform_that_is_stopped_and_started_goes_on(works, written, wait_until):
    """The broker is in memory: what it had is gone, and the store sends it again."""
    lines = asks(40, lambda at: 100 + 25 * at)
    job = submitted(works, written(lines))
    wait_until(lambda: done(works, job) >= 4, "some results", 20)
    works.interrupt(signal.SIGTERM)  # at once: the command `down` takes a second to begin
    assert works.end() == 0
    works.up("--workers", "1").answers()
    wait_until(lambda: works.processes()["jobs"]["state"] == "ready", "the jobs process to be there", 30)
    assert 0 < done(works, job) < 40
    watched = works.run("jobs", "watch", job, timeout=90)
    assert watched.returncode == 0, (watched.stdout, watched.stderr)
    once(results(works, job), lines)
