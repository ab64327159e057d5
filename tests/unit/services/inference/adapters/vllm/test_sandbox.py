import fcntl
import os
import resource
import signal
import socket
import time
from pathlib import Path

import pytest

from services.inference.adapters.vllm.sandbox import GrammarSandbox

# Forking a test process that has threads is what the sandbox does to a worker, too.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def _open_files():
    """What this process has open beyond stdin, stdout and stderr; what has no name of its own is left out."""
    links = [link for link in Path("/proc/self/fd").iterdir() if int(link.name) > 2 and os.path.lexists(link)]
    return [name for name in map(str, map(Path.readlink, links)) if not name.startswith("anon_inode")]


def _prepare():
    def compile_(kind, text):
        if text == "spin":
            while True:
                pass
        if text == "sleep":
            time.sleep(60)
        if text == "eat":
            bytearray(8 << 30)
        if text == "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        if text == "files":
            raise ValueError("\n".join(_open_files()))
        if text != "good":
            raise ValueError(f"{kind} is bad")

    return compile_


@pytest.fixture
def sandbox():
    sandbox = GrammarSandbox(_prepare, seconds=0.5)
    yield sandbox
    sandbox.close()


def test_good_and_bad(sandbox):
    assert sandbox.verdict("regex", "good") is None
    assert sandbox.verdict("regex", "no") == "regex is bad"
    assert sandbox.verdict("regex", "é" * 100_000) == "regex is bad"


@pytest.mark.parametrize("harm", ["spin", "sleep", "eat", "die"])
def test_a_compilation_that_harms_is_stopped_and_the_next_one_works(sandbox, harm):
    begun = time.monotonic()
    assert sandbox.verdict("regex", harm)
    assert time.monotonic() - begun < 20
    assert sandbox.verdict("regex", "good") is None


def test_memory_is_limited_beside_time(sandbox):
    assert sandbox.verdict("regex", "eat") == "MemoryError"


@pytest.mark.parametrize("limit", ["as it is", "below what is open"])
def test_nothing_of_the_worker_stays_open_in_it(tmp_path, limit):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(), (tmp_path / "file").open("w") as file:
        high = fcntl.fcntl(file.fileno(), fcntl.F_DUPFD, 500)
        ours = set(_open_files())
        if limit != "as it is":
            resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
        try:
            other = GrammarSandbox(_prepare, seconds=0.5)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            os.close(high)
        try:
            theirs = set(other.verdict("regex", "files").splitlines())
        finally:
            other.close()
    assert {name.split(":")[0] for name in ours} >= {"socket", str(tmp_path / "file")}
    assert not ours & theirs


def test_an_ended_sandbox_is_an_os_error(sandbox):
    os.kill(sandbox.pid, signal.SIGKILL)
    with pytest.raises(OSError, match=r"ended|reset|pipe|Pipe"):
        sandbox.verdict("regex", "good")


def test_the_limits_are_the_childs_alone(sandbox):
    sandbox.verdict("regex", "good")
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
