"""A child dies with a parent that is killed: the parent here is a process of its own."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from cli.supervisor.child import LAUNCHER, kill_group, start_time

PARENT = """
import os, subprocess, sys, time
program = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
launch = [sys.executable, "-IS", {launcher!r}, {parent}, *program]
child = subprocess.Popen(launch, start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()  # until the program runs: before, another safeguard ends the child
print(child.pid, flush=True)
time.sleep(600)
"""


def gone(pid, seconds=5.0):
    end = time.monotonic() + seconds
    while start_time(pid) is not None:
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_kill_9_of_the_parent_ends_the_child():
    code = PARENT.format(launcher=str(LAUNCHER), parent="str(os.getpid())")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.send_signal(signal.SIGKILL)
        try:
            assert gone(child)
        finally:
            kill_group(child)


def test_a_child_whose_parent_is_already_gone_does_not_start():
    command = [sys.executable, "-IS", str(LAUNCHER), str(os.getpid() + 1), sys.executable, "-c", "print('started')"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
