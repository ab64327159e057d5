"""The whole platform as its users start it: `headrace up` as a process, over a state directory of its own."""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from cli.inside import list_workers
from libs.errors import PlatformError

REPO = Path(__file__).resolve().parents[2]
MODELS = REPO / ".headrace" / "models"
ANSWERS_SECONDS_MAX = 120.0
POLL_SECONDS = 0.05
SIMULATED = {"inter_token_ms": 10.0, "prefill_ms_per_token": 0.5}


def until(condition, what, seconds=30.0):
    """Polls; the error says what did not come true."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"waited {seconds:g} s in vain: {what}"
        time.sleep(POLL_SECONDS)


def free_ports():
    """Ten ports in a row that are free; below the range that the kernel gives to clients."""
    for _ in range(100):
        base = random.randrange(20_000, 31_000, 10)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(base, base + 10):
                stack.enter_context(contextlib.closing(socket.create_server(("127.0.0.1", port))))
            names = ("rest", "grpc", "router", "valkey", "workers")
            return {name: base + at for at, name in enumerate(names)} | {
                "inside": base + 7,
                "jobs": base + 8,
                "kafka": base + 9,
            }
    raise AssertionError("no ten free ports in a row")


class Platform:
    """One `headrace up`, started on demand; whatever a test does, nothing outlives it."""

    def __init__(self, directory):
        self.directory = directory
        self.state_dir = directory / "state"
        self.ports = free_ports()
        self.process = None
        self.seen = {}
        self.state_dir.mkdir()
        (self.state_dir / "models").symlink_to(MODELS)
        self.configure()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.ports['rest']}"

    @property
    def key(self):
        return (self.state_dir / "admin.key").read_text().strip()

    @property
    def output(self):
        return (self.directory / "up.log").read_text()

    def configure(self, **more):
        settings = {
            "state_dir": str(self.state_dir),
            "ports": self.ports,
            "services": {"inference": {"simulated": SIMULATED}},
        }
        (self.directory / "headrace.yaml").write_text(yaml.safe_dump(settings | more))

    def command(self, *arguments):
        return [sys.executable, "-m", "cli.main", *arguments, "--config", str(self.directory / "headrace.yaml")]

    def run(self, *arguments, timeout=60):
        """A command that ends by itself."""
        return subprocess.run(
            self.command(*arguments), cwd=REPO, capture_output=True, text=True, timeout=timeout, check=False
        )

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "--json").stdout)

    def up(self, *arguments, engine="simulated"):
        """Starts; does not wait."""
        with (self.directory / "up.log").open("a") as log:
            self.process = subprocess.Popen(
                self.command("up", "--engine", engine, *arguments),
                cwd=REPO,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def answers(self):
        """Waits for the first moment at which a token can be had."""
        until(lambda: self.process.poll() is not None or self._get_ok("/readyz"), self.output, ANSWERS_SECONDS_MAX)
        assert self.process.poll() is None, self.output
        return self

    def all_ready(self):
        """Waits until every process serves and the router places calls on every worker."""
        until(lambda: all(p["state"] == "ready" for p in self.processes().values()), "all ready", ANSWERS_SECONDS_MAX)
        until(self._routed, "the router to know every worker", 20)
        return self

    def _routed(self):
        boots = {p["boot_id"] for p in self.processes().values() if p["kind"] == "worker"}
        with contextlib.suppress(PlatformError):
            known = asyncio.run(list_workers(self.ports["router"], self.state_dir / "internal.token"))
            return boots == {worker.boot_id for worker in known if worker.state == "live"}

    def processes(self):
        """From the state file, by name; pids are remembered for `leftovers`."""
        state = json.loads((self.state_dir / "run" / "state.json").read_text())
        found = {process["name"]: process for process in state["processes"]}
        for pid in [p["pid"] for p in found.values() if p["pid"]]:
            with contextlib.suppress(psutil.Error):
                self.seen[pid] = psutil.Process(pid)
        return found

    def failed(self, name):
        """The process, once the supervisor has given it up."""
        with contextlib.suppress(FileNotFoundError):
            found = self.processes()[name]
            return found if found["state"] == "failed" else None

    def leftovers(self):
        """Processes of this platform that still run: those seen, and any that was started with its directory."""
        alive = {pid for pid, process in self.seen.items() if _alive(process)}
        for process in psutil.process_iter(["pid", "cmdline"]):
            words = " ".join(process.info["cmdline"] or ())
            if str(self.state_dir) in words and _alive(process):
                alive.add(process.pid)
        return alive

    def interrupt(self, signum=signal.SIGINT):
        self.process.send_signal(signum)

    def end(self, timeout=40):
        """The exit status."""
        return self.process.wait(timeout)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                self.processes()
            self.process.kill()
            self.process.wait()
        for pid in self.leftovers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def chat(self, text="hi", *, key=None, **more):
        """(status, headers, body) of a chat call that is not streamed."""
        body = {"model": "small", "messages": [{"role": "user", "content": text}], "max_tokens": 8} | more
        answer = httpx.post(self.completions, json=body, headers=self._headers(key), timeout=60, trust_env=False)
        return answer.status_code, answer.headers, answer.json()

    @contextlib.contextmanager
    def stream(self, **more):
        """(headers, iterator of the events) of a streamed answer."""
        body = {"model": "small", "messages": [{"role": "user", "content": "go"}], "stream": True} | more
        with httpx.stream(
            "POST", self.completions, json=body, headers=self._headers(), timeout=60, trust_env=False
        ) as answer:
            yield answer.headers, (line for line in answer.iter_lines() if line.startswith("data: "))

    @property
    def completions(self):
        return f"{self.url}/v1/chat/completions"

    def _headers(self, key=None):
        return {"authorization": f"Bearer {key or self.key}"}

    def _get_ok(self, path):
        try:
            return httpx.get(self.url + path, timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False


def _alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.fixture(scope="session")
def wait_until():
    return until


@pytest.fixture
def platform(tmp_path):
    """A platform that the test starts."""
    if not (MODELS / "smollm2-135m-instruct").exists():
        pytest.skip("the bundled model is not there; `make model` fetches it")
    made = Platform(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def make_platform(tmp_path_factory):
    """Makes platforms that a module shares; none outlives it."""
    if not (MODELS / "smollm2-135m-instruct").exists():
        pytest.skip("the bundled model is not there; `make model` fetches it")
    with contextlib.ExitStack() as stack:

        def make(name):
            made = Platform(tmp_path_factory.mktemp(name))
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture(scope="module")
def running(make_platform):
    """A platform with two simulated workers that all tests of a module share."""
    return make_platform("platform").up().answers().all_ready()
