"""`headrace demo` on simulated engines; `make demo` is the same on vLLM."""

import json

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_demo_holds(platform, wait_until):
    done = platform.run("demo", "--engine", "simulated", "--json", timeout=200)
    document = json.loads(done.stdout)
    assert done.returncode == 0, document
    assert document["ok"]
    assert [len(steps) for steps in document["sessions"].values()] == [5, 5]
    assert document["first_token_seconds"] > 0
    assert {name: routed["tier"] for name, routed in document["auto"].items()} == {"easy": "small", "hard": "large"}
    assert all(routed["reason"] and routed["route"] for routed in document["auto"].values())
    assert document["overrun"]["refused"]["code"] == "insufficient_quota"
    assert 0 < float(document["overrun"]["spent_usd"]) <= float(document["overrun"]["budget_usd"])
    job = document["job"]
    assert job["requests"] == {"total": 24, "succeeded": 24, "failed": 0}
    assert 0 < job["killed_after"] < 24
    assert job["cost_usd"] == job["recorded_usd"] == job["charged_usd"] != "0"
    wait_until(lambda: not platform.leftovers(), "every process to be gone", 10)


def test_the_demo_fails_where_no_worker_can_take_over(platform):
    done = platform.run("demo", "--engine", "simulated", "--json", "--workers", "1", timeout=200)
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert document["error"] or not document["ok"]
