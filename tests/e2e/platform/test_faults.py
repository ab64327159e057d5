"""Real processes that are stopped, slowed, killed, and asked for what kills them, under load."""

import asyncio
import contextlib
import itertools
import os
import signal
import threading
import time

import httpx
import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
# Served by both workers.
MODEL = "smollm2-135m-instruct"
PACE = {"inter_token_ms": 20.0, "ttft_ms": 10.0}
# Generous beside what is measured in loadtests/failing: tests share their cores with much else.
ISOLATED_SECONDS_MAX = 6.0


@pytest.fixture
def two_workers(platform):
    platform.configure(services={"inference": {"simulated": PACE | {"faults_by_session": True}}})
    return platform.up().answers().all_ready()


def process_group(platform, name):
    pid = platform.processes()[name]["pid"]
    return [pid, *[child.pid for child in psutil.Process(pid).children(recursive=True)]]


@contextlib.contextmanager
def stopped(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def crawling(pids):
    """They run a tenth of the time."""
    over = threading.Event()

    def keep():
        while not over.is_set():
            for number, seconds in ((signal.SIGSTOP, 0.36), (signal.SIGCONT, 0.04)):
                for pid in pids:
                    os.kill(pid, number)
                over.wait(seconds)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Load:
    """Streams, some at a time, until told; what became of each."""

    def __init__(self, platform, tokens=30):
        self.platform, self.tokens = platform, tokens
        self.answers = []
        self.over = False

    async def one(self, client, number):
        body = {
            "model": MODEL, "messages": [{"role": "user", "content": f"call {number}"}], "max_tokens": self.tokens,
            "stream": True, "stream_options": {"include_usage": True},
        }  # fmt: skip
        began, times, last = time.monotonic(), [], ""
        async with client.stream("POST", self.platform.completions, json=body, headers=self.platform._headers()) as got:
            async for line in got.aiter_lines():
                if line.startswith("data: "):
                    times.append(time.monotonic())
                    last = line
            worker = got.headers.get("x-headrace-worker", "")
        gap = max((b - a for a, b in itertools.pairwise([began, *times])), default=0.0)
        whole = got.status_code == 200 and last == "data: [DONE]"
        self.answers.append({"began": began, "whole": whole, "worker": worker, "gap": gap, "status": got.status_code,
                             "retry": got.headers.get("retry-after")})  # fmt: skip

    async def run(self, at_once, during):
        """`during()` runs in a thread beside the load, which ends with it."""
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            numbers = itertools.count()

            async def lane():
                while not self.over:
                    await self.one(client, next(numbers))

            lanes = [asyncio.create_task(lane()) for _ in range(at_once)]
            try:
                return await asyncio.to_thread(during)
            finally:
                self.over = True
                await asyncio.gather(*lanes)

    def since(self, moment):
        return [answer for answer in self.answers if answer["began"] >= moment]


def test_a_stopped_worker_holds_no_stream_up_and_is_used_again_when_it_goes_on(two_workers, wait_until):
    load = Load(two_workers)
    moments = {}

    def during():
        wait_until(lambda: {a["worker"] for a in load.answers} == {"inference-0", "inference-1"}, "both at work", 30)
        with stopped(process_group(two_workers, "inference-1")):
            moments["stopped"] = time.monotonic()
            wait_until(lambda: len(load.since(moments["stopped"] + 2.0)) >= 20, "calls to go on", 30)
            moments["resumed"] = time.monotonic()
        wait_until(
            lambda: any(a["worker"] == "inference-1" for a in load.since(moments["resumed"])), "it to be used again", 60
        )

    asyncio.run(load.run(6, during))
    assert all(answer["whole"] for answer in load.answers)
    assert max(answer["gap"] for answer in load.answers) < ISOLATED_SECONDS_MAX
    late = [a for a in load.since(moments["stopped"] + 2.0) if a["began"] < moments["resumed"]]
    # A probe may have been out when it went on, and was answered then.
    assert sum(answer["worker"] == "inference-1" for answer in late) <= 1


def test_a_slow_worker_is_left_alone_while_the_other_is_as_ever(two_workers, wait_until):
    load = Load(two_workers)
    moments = {}

    def only_the_other():
        recent = load.since(time.monotonic() - 1.5)
        return len(recent) >= 8 and {answer["worker"] for answer in recent} == {"inference-0"}

    def during():
        wait_until(lambda: {a["worker"] for a in load.answers} == {"inference-0", "inference-1"}, "both at work", 30)
        with crawling(process_group(two_workers, "inference-1")[1:]):
            moments["slow"] = time.monotonic()
            wait_until(only_the_other, "the slow one to be left alone", 30)

    asyncio.run(load.run(6, during))
    assert all(answer["whole"] for answer in load.answers)


def test_when_the_only_workers_are_stopped_callers_are_told_to_come_again_and_are_served_later(two_workers, wait_until):
    both = [pid for name in ("inference-0", "inference-1") for pid in process_group(two_workers, name)]
    assert two_workers.chat(model=MODEL)[0] == 200

    def told():
        began = time.monotonic()
        status, headers, body = two_workers.chat(model=MODEL)
        return (status, headers, body, time.monotonic() - began) if status == 503 else None

    with stopped(both):
        wait_until(told, "a 503", 30)
        quick = [wait_until(told, "another 503", 10) for _ in range(10)]
        for status, headers, body, _ in quick:
            assert (status, body["error"]["code"]) == (503, "no_worker")
            assert int(headers["retry-after"]) >= 1
        assert sorted(seconds for *_, seconds in quick)[5] < 0.5
    wait_until(lambda: two_workers.chat(model=MODEL)[0] == 200, "calls to be served again", 60)


def test_a_killed_router_breaks_no_stream_and_new_calls_are_served_or_told_when_to_come_again(two_workers, wait_until):
    load = Load(two_workers, tokens=60)

    def during():
        wait_until(lambda: len(load.answers) >= 6, "calls to be served", 30)
        os.kill(two_workers.processes()["router"]["pid"], signal.SIGKILL)
        killed = time.monotonic()
        wait_until(lambda: sum(a["whole"] for a in load.since(killed + 0.5)) >= 12, "calls to be served again", 60)

    asyncio.run(load.run(6, during))
    for answer in load.answers:
        if not answer["whole"]:
            assert answer["status"] == 503
            assert int(answer["retry"]) >= 1


def test_a_request_that_kills_workers_meets_no_third(two_workers, wait_until):
    """Its session asks the simulated engine to die at its first token."""
    killer = {"model": MODEL, "session_id": "s-fault:die@0", "temperature": 0}
    boots = {name: two_workers.processes()[name]["boot_id"] for name in ("inference-0", "inference-1")}

    def all_back():
        now = two_workers.processes()
        return all(now[name]["state"] == "ready" and now[name]["boot_id"] not in ("", boots[name]) for name in boots)

    assert two_workers.chat("the end", **killer)[0] == 503
    wait_until(all_back, "both workers in new lives", 90)
    two_workers.all_ready()
    after = {name: two_workers.processes()[name]["boot_id"] for name in boots}
    status, _, body = two_workers.chat("the end", **killer)
    assert (status, body["error"]["code"]) == (422, "request_quarantined")
    assert "workers have died" in body["error"]["message"]
    assert two_workers.chat("something else", model=MODEL)[0] == 200
    assert {name: two_workers.processes()[name]["boot_id"] for name in boots} == after
