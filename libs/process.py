"""Processes that must not outlive each other."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.5


def die_with_parent(parent_pid: int, signum: signal.Signals = signal.SIGKILL) -> None:
    """Lets the kernel send `signum` to this process when the thread that started it ends. Linux; elsewhere watches.

    `parent_pid` is what the parent saw as its own: if it died before this call, the signal is sent now.
    """
    if not sys.platform.startswith("linux"):
        watch_process(parent_pid, lambda: os.kill(os.getpid(), signum))
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signum), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signum)


def watch_process(pid: int, on_death: Callable[[], None]) -> None:
    """Calls back from a daemon thread once `pid` is gone, be it a parent or not; at once if it is gone already."""

    def watch() -> None:
        _wait_for_death(pid)
        on_death()

    threading.Thread(target=watch, name=f"watch-{pid}", daemon=True).start()


def _wait_for_death(pid: int) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):  # not Linux, or a sandbox without the call
        while _alive(pid):
            time.sleep(_POLL_SECONDS)
        return
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll()
    os.close(pidfd)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
