"""What holds of a platform that runs; the tests share one."""

import os
import signal
import subprocess

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
NAMES = ["valkey", "kafka", "router", "gateway", "jobs", "inference-0", "inference-1"]


def test_a_key_gets_an_answer_and_no_key_gets_401(running):
    status, headers, body = running.chat()
    assert (status, body["object"]) == (200, "chat.completion")
    assert headers["x-headrace-worker"] in NAMES
    assert running.chat(key="sk-hr-wrong")[0] == 401


def test_the_first_key_is_private_and_shown_once(running):
    assert (running.state_dir / "admin.key").stat().st_mode & 0o777 == 0o600
    assert (running.state_dir / "pepper").stat().st_mode & 0o777 == 0o600
    assert running.output.count(running.key) == 1


def test_status_names_the_processes_as_answers_do(running):
    document = running.json("status")
    assert document["running"]
    assert document["ready"]
    assert [process["name"] for process in document["processes"]] == NAMES
    assert all(os.path.exists(f"/proc/{process['pid']}") for process in document["processes"])  # noqa: PTH110
    workers = [process for process in document["processes"] if process["kind"] == "worker"]
    assert [worker["routed"]["boot_id"] for worker in workers] == [worker["boot_id"] for worker in workers]
    assert running.run("status").returncode == 0


def test_a_second_up_is_refused(running):
    done = running.run("up", "--engine", "simulated")
    assert done.returncode == 1
    assert "already runs here" in done.stderr
    assert "headrace down" in done.stderr


def test_a_killed_worker_comes_back_with_a_new_boot_id(running, wait_until):
    before = running.processes()["inference-0"]
    os.kill(before["pid"], signal.SIGKILL)

    def back():
        now = running.processes()["inference-0"]
        return now if now["state"] == "ready" and now["boot_id"] not in ("", before["boot_id"]) else None

    after = wait_until(back, "inference-0 to come back", 90)
    assert after["pid"] != before["pid"]
    assert after["restarts"] == before["restarts"] + 1
    assert running.chat()[0] == 200


def test_a_stream_goes_on_when_its_worker_is_killed(running):
    running.all_ready()
    usage = {"include_usage": True}
    with running.stream(max_tokens=150, ignore_eos=True, stream_options=usage) as (headers, events):
        seen = [next(events) for _ in range(20)]
        os.kill(running.processes()[headers["x-headrace-worker"]]["pid"], signal.SIGKILL)
        seen += events
    assert seen[-1] == "data: [DONE]"
    assert '"completion_tokens":150' in seen[-2]
    assert '"attempts":2' in seen[-2]


def test_chat_answers_on_the_command_line(running):
    answer = running.json("chat", "hello", "--session", "e2e", "--max-tokens", "12")
    assert answer["completion_tokens"] == 12
    assert answer["session"] == "e2e"
    assert answer["worker"] in NAMES
    assert answer["ttft_ms"] > 0
    again = running.json("chat", "hello", "--session", "e2e", "--max-tokens", "12")
    assert again["cached_tokens"] > 0


def test_chat_without_an_argument_keeps_the_session(running):
    done = subprocess.run(
        running.command("chat", "--max-tokens", "5"),
        input="one\ntwo\n/quit\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sessions = [line.rsplit("session ", 1)[1] for line in done.stderr.splitlines() if line.startswith("[first token")]
    assert len(sessions) == 2
    assert sessions[0] == sessions[1]


def test_a_made_key_works_and_a_revoked_one_does_not(running, wait_until):
    running.run("tenants", "create", "other")
    made = running.json("keys", "create", "--name", "e2e", "--tenant", "other")
    wait_until(lambda: running.chat(key=made["key"])[0] == 200, "the fresh key to work", 5)
    assert [key["id"] for key in running.json("keys", "list", "--tenant", "other")["keys"]] == [made["id"]]
    assert running.run("keys", "revoke", made["id"]).returncode == 0
    wait_until(lambda: running.chat(key=made["key"])[0] == 401, "the revoked key to fail", 5)
    assert running.run("keys", "revoke", made["id"]).returncode == 1


def test_a_budget_refuses_what_it_does_not_cover_and_spend_shows_what_it_did(running, wait_until):
    made = running.json("keys", "create", "--name", "little", "--budget", "0.0001")
    wait_until(lambda: running.chat(key=made["key"])[0] == 200, "the fresh key to work", 5)
    status, headers, body = running.chat("long " * 1500, key=made["key"])
    assert (status, body["error"]["code"]) == (429, "insufficient_quota")
    assert headers["x-should-retry"] == "false"
    state = running.json("budgets", "show", f"key:{made['id']}")["state"]
    assert float(state["settled_usd"]) > 0
    assert state["held_usd"] == "0"

    def told():
        rows = running.json("spend", "--by", "key", "--days", "2")["data"]
        return {row["value"]: row["cost_usd"] for row in rows}.get(made["id"])

    assert wait_until(told, "the spend to be summed", 10) == state["settled_usd"]


def test_commands_say_that_nothing_runs(running, tmp_path):
    done = running.run("keys", "list", "--state-dir", str(tmp_path))
    assert done.returncode == 1
    assert "headrace up" in done.stderr


def test_doctor_finds_nothing_wrong(running):
    document = running.json("doctor")
    assert document["healthy"], [f for f in document["findings"] if f["level"] == "error"]
