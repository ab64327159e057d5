"""Becomes another program that dies with the supervisor: `python -IS launch.py PARENT_PID PROGRAM ARGUMENTS…`.

The wish to die with the parent (PR_SET_PDEATHSIG) belongs to the calling process and outlives exec, so it is stated
here, between fork and exec: Python's `preexec_fn` would run it in a fork of a process with threads, which can
deadlock. SIGKILL, because a parent that was killed cannot wait for a drain. Linux only; elsewhere services notice
by themselves (`parent_pid`) and `headrace up` clears what is left at its next start.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Never returns."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the wish was stated
        raise SystemExit(1)
    os.execvp(program[0], program)  # noqa: S606  no shell is the point


if __name__ == "__main__":
    main()
