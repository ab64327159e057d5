import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SERVICE = Path(__file__).with_name("demo_service.py")
# A service that misses its end must not hold the test that reads its output.
LIMIT_SECONDS = 15.0
ENV = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos/gen'}"}


@contextlib.contextmanager
def demo(mode, *argv):
    """A running service; `until(text)` reads its output up to a line with that text."""
    process = subprocess.Popen(
        [sys.executable, SERVICE, *argv], env={**ENV, "DEMO_MODE": mode}, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    limit = threading.Timer(LIMIT_SECONDS, process.kill)
    limit.start()
    try:
        yield process
    finally:
        limit.cancel()
        process.kill()
        process.communicate()


def until(process, text):
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"{text!r} never came")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_stops_in_order_and_ends_well(signum):
    with demo("quick") as process:
        until(process, "serving")
        process.send_signal(signum)
        until(process, "not serving")
        until(process, "closed")
        assert process.wait(10) == 0


def test_a_second_signal_ends_at_once():
    with demo("hang") as process:
        until(process, "serving")
        process.send_signal(signal.SIGTERM)
        until(process, "draining")
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 128 + signal.SIGTERM
        assert "closed" not in process.stdout.read()


def test_a_second_signal_works_while_the_loop_is_blocked():
    with demo("blocked") as process:
        until(process, "blocked")
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) != 0


def test_a_service_ends_with_the_process_it_must_not_outlive():
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with demo("quick", "--parent_pid", str(other.pid)) as process:
        until(process, "serving")
        with other:
            other.kill()
        until(process, "closed")
        assert process.wait(10) == 0


def test_a_metrics_port_that_is_taken_ends_the_start():
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, demo("quick", "--metrics.port", str(taken.getsockname()[1])) as process:
        assert process.wait(20) == 1
