"""The engine dies with its worker, and the worker with its engine."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SMALL = {"window_tokens": 2048, "kv_cache_gib": 0.25, "hang_seconds": 2.0}


class Worker:
    def __init__(self, *flags, **settings):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), "PYTHONWARNINGS": "ignore"}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker_process.py"), json.dumps(SMALL | settings), *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._events = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                self._events.put(json.loads(line))
        self._events.put({"event": "end of output"})

    def until(self, seconds=120, **wanted):
        """Returns the first event that has what is wanted."""
        deadline = time.monotonic() + seconds
        while True:
            event = self._events.get(timeout=max(0.01, deadline - time.monotonic()))
            if wanted.items() <= event.items():
                return event
            assert event["event"] != "end of output", "the worker ended before that"

    def ready(self):
        self.pids = {int(pid): name for pid, name in self.until(event="ready")["pids"].items()}

    def pid(self, name):
        return next(pid for pid, command in self.pids.items() if name in command)

    def submit(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def end(self):
        for pid in (self.process.pid, *getattr(self, "pids", ())):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def worker():
    worker = Worker("--endless")
    worker.ready()
    worker.until(event="step")
    yield worker
    worker.end()


def _running(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def _gone_within(pids, seconds):
    deadline = time.monotonic() + seconds
    while any(_running(pid) for pid in pids):
        if time.monotonic() > deadline:
            return [pid for pid in pids if _running(pid)]
        time.sleep(0.02)
    return []


def test_a_hanging_engine_is_unhealthy_and_recovers_and_a_killed_worker_takes_it_along(worker):
    os.kill(worker.pid("VLLM::Worker"), signal.SIGSTOP)
    assert worker.until(seconds=30, event="health")["healthy"] is False
    os.kill(worker.pid("VLLM::Worker"), signal.SIGCONT)
    assert worker.until(seconds=30, event="health")["healthy"] is True

    assert {"EngineCore", "Worker"} <= {name.removeprefix("VLLM::") for name in worker.pids.values()}
    worker.process.kill()
    left = _gone_within([pid for pid, name in worker.pids.items() if "resource_tracker" not in name], 15)
    assert not left, [worker.pids[pid] for pid in left]


def test_the_engine_dies_with_a_worker_that_is_still_loading():
    worker = Worker()
    try:
        deadline = time.monotonic() + 60
        while not (found := _engine_of(worker.process.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert found
        worker.process.kill()
        assert not _gone_within(found, 15)
    finally:
        worker.end()


def _engine_of(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in _read(task / "children").split()]
    return [child for child in found if "spawn_main" in _read(Path(f"/proc/{child}/cmdline"))]


def _read(path):
    """Of procfs: a loading worker starts short-lived helpers, which may end between being listed and being read."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.parametrize("name", ["EngineCore", "VLLM::Worker"])
def test_the_worker_notices_the_death_of_its_engine(worker, name):
    os.kill(worker.pid(name), signal.SIGKILL)
    assert worker.until(seconds=30, event="error")["reason"] == "ENGINE_DEAD"
    worker.until(seconds=30, event="dead")
    assert worker.process.wait(30) == 7
