"""Long work on a whole platform: handed over in every way, killed, cancelled, restarted; every result is there once."""

import collections
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
    "services": {
        "inference": {"simulated": {"inter_token_ms": 10.0, "prefill_ms_per_token": 0.5}},
        "jobs": {"attempts": {"lease_seconds": 2.0}, "agenda": {"resend_seconds": 2.0}},
    }
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
    done = platform.run("jobs", "submit", path, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def standing(platform, job):
    """The job's document; {} while the platform has no answer."""
    done = platform.run("jobs", "show", job, "--json")
    return json.loads(done.stdout) if done.returncode == 0 else {}


def get(platform, path):
    return httpx.get(f"{platform.url}{path}", headers={"authorization": f"Bearer {platform.key}"}, trust_env=False)


def results(platform, job, code=0):
    done = platform.run("jobs", "results", job)
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def once(found, lines):
    """Every request has one result, which is an answer of the length that was asked for."""
    assert [each["custom_id"] for each in found] == [line["custom_id"] for line in lines]
    assert {each["response"]["status_code"] for each in found} == {200}
    lengths = [each["response"]["body"]["usage"]["completion_tokens"] for each in found]
    assert lengths == [line["max_tokens"] for line in lines]


def test_the_command_hands_over_a_file_and_fetches_what_came_of_it(works, written, tmp_path):
    lines = asks(5, lambda at: 4 + at)
    done = works.run("jobs", "submit", written(lines), "--metadata", "run=7", "--watch")
    assert done.returncode == 0, done.stderr
    job = done.stdout.splitlines()[0]
    assert f"{job} succeeded: 5 of 5 done" in done.stdout
    assert f"headrace jobs results {job}" in done.stderr
    once(results(works, job), lines)
    assert works.run("jobs", "results", job, "--out", str(tmp_path / "out")).returncode == 0
    assert len((tmp_path / "out").read_text().splitlines()) == 5
    assert results(works, job)[0]["response"]["body"]["object"] == "chat.completion"
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
    before = len(works.json("jobs", "list")["jobs"])
    done = works.run("jobs", "submit", written([{"prompt": "hi"}, {"prompt": "hi", "temperature": 9}]))
    assert done.returncode == 1
    assert "requests[1]" in done.stderr or "temperature" in done.stderr
    assert len(works.json("jobs", "list")["jobs"]) == before


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
    path, headers = f"{works.url}/v1/jobs/{job}", {"authorization": f"Bearer {made['key']}"}

    def half():
        seen = httpx.get(path, headers=headers, trust_env=False).json()
        return seen if seen["requests"]["succeeded"] >= 10 else None

    before = wait_until(half, "some results", 20)
    assert before["status"] == "running"
    os.kill(works.processes()["jobs"]["pid"], signal.SIGKILL)
    done = works.run("jobs", "watch", job, "--key", made["key"], timeout=90)
    assert done.returncode == 0, (done.stdout, done.stderr)
    once(results(works, job), lines)
    after = standing(works, job)
    assert after["attempts"] > before["attempts"]
    assert after["usage"]["completion_tokens"] == sum(line["max_tokens"] for line in lines)

    def settled():
        state = works.json("budgets", "show", f"key:{made['id']}")["state"]
        return state if state["held_usd"] == "0" else None

    state = wait_until(settled, "the reservation to be given back", 20)
    assert from_dollars(state["settled_usd"]) == from_dollars(after["cost_usd"]) > 0
    rows = works.json("spend", "--by", "key", "--days", "2")["data"]
    spent = {row["value"]: row for row in rows}[made["id"]]
    assert (spent["requests"], spent["cost_usd"]) == (60, after["cost_usd"])


def test_a_cancelled_job_ends_at_once_and_stops_its_answers(works, written, wait_until):
    job = submitted(works, written(asks(8, lambda _: 1500)))
    wait_until(lambda: standing(works, job).get("status") == "running", "the job to run")
    done = works.run("jobs", "cancel", job)
    assert done.returncode == 0, done.stderr
    watched = works.run("jobs", "watch", job, timeout=20)
    assert watched.returncode == 1
    assert "cancelled" in watched.stdout

    def idle():
        workers = [each["routed"] for each in works.json("status")["processes"] if each["kind"] == "worker"]
        return all(each and each["running"] == 0 for each in workers)

    wait_until(idle, "the answers to be stopped", 10)
    assert works.run("jobs", "cancel", job).returncode == 0


def test_an_unknown_job_is_said_with_what_to_do(works):
    done = works.run("jobs", "watch", "job_000000000000000000000000")
    assert done.returncode == 1
    assert "headrace jobs list" in done.stderr


def test_a_platform_that_is_stopped_and_started_goes_on(works, written, wait_until):
    """The broker is in memory: what it had is gone, and the store sends it again."""
    lines = asks(40, lambda at: 20 + 6 * at)
    job = submitted(works, written(lines))
    wait_until(lambda: standing(works, job).get("requests", {}).get("succeeded", 0) >= 4, "some results", 20)
    assert works.json("down")["stopped"]
    works.end()
    works.up("--workers", "1").answers().all_ready()
    assert 0 < standing(works, job)["requests"]["succeeded"] < 40
    done = works.run("jobs", "watch", job, timeout=90)
    assert done.returncode == 0, (done.stdout, done.stderr)
    once(results(works, job), lines)
    names = collections.Counter(each["custom_id"] for each in results(works, job))
    assert set(names.values()) == {1}
