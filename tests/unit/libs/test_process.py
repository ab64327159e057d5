import os
import select
import signal
import subprocess
import sys
import threading

from libs.process import watch_process

PARENT = """
import os, subprocess, sys
child = '''
import os, sys, time
from libs.process import die_with_parent
if {bound}: die_with_parent(os.getppid())
print(os.getpid(), flush=True)
time.sleep(600)
'''
subprocess.Popen([sys.executable, "-c", child])
input()
"""


def family(*, bound):
    """A parent with a child; returns the parent and a pidfd of the child."""
    code = PARENT.replace("{bound}", str(bound))
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return parent, os.pidfd_open(int(parent.stdout.readline()))


def ends(pidfd, seconds):
    return bool(select.select([pidfd], [], [], seconds)[0])


def kill_parent(parent):
    with parent:
        parent.kill()


def test_a_bound_child_dies_with_its_parent():
    parent, child = family(bound=True)
    kill_parent(parent)
    assert ends(child, 5)


def test_an_unbound_child_lives_on():
    parent, child = family(bound=False)
    kill_parent(parent)
    assert not ends(child, 0.3)
    signal.pidfd_send_signal(child, signal.SIGKILL)


def test_watching_a_process_tells_of_its_end():
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    gone = threading.Event()
    watch_process(other.pid, gone.set)
    assert not gone.wait(0.1)
    kill_parent(other)
    assert gone.wait(5)


def test_watching_a_process_that_is_gone_tells_at_once():
    other = subprocess.Popen([sys.executable, "-c", ""])
    other.wait()
    gone = threading.Event()
    watch_process(other.pid, gone.set)
    assert gone.wait(5)
