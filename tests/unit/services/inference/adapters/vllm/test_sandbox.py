import os
import resource
import signal
import time
from pathlib import Path

import pytest

from services.inference.adapters.vllm.sandbox import GrammarSandbox

# Forking a test process that has threads is what the sandbox does to a worker, too.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


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
            raise ValueError(str(len(list(Path("/proc/self/fd").iterdir()))))
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


def test_nothing_of_the_worker_stays_open_in_it():
    listener = os.open("/dev/null", os.O_RDONLY)
    try:
        other = GrammarSandbox(_prepare, seconds=0.5)
        # stdin, stdout, stderr, the socket, the answer's pipe, and the directory that is being listed
        assert int(other.verdict("regex", "files")) <= 7
        other.close()
    finally:
        os.close(listener)


def test_an_ended_sandbox_is_an_os_error(sandbox):
    os.kill(sandbox.pid, signal.SIGKILL)
    with pytest.raises(OSError, match=r"ended|reset|pipe|Pipe"):
        sandbox.verdict("regex", "good")


def test_the_limits_are_the_childs_alone(sandbox):
    sandbox.verdict("regex", "good")
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
