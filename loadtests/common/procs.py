"""Processes of a measurement: started pinned, watched through /proc, ended by their ids."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def stat(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the third (state) on. Raises OSError when the process is gone."""
    text = Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2 :].split()


def children(root: int) -> list[int]:
    """Process ids of all descendants of `root`."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents.setdefault(int(stat(int(entry.name))[1]), []).append(int(entry.name))
            except (OSError, ValueError):
                continue
    found: list[int] = []
    todo = [root]
    while todo:
        below = parents.get(todo.pop(), [])
        found += below
        todo += below
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User + system seconds of exactly these processes, their reaped children included. Resolution 10 ms."""
    total = 0
    for pid in pids:
        try:
            total += sum(int(x) for x in stat(pid)[11:15])
        except OSError:
            continue
    return total / TICKS


def rss_mb(pid: int) -> float:
    """Resident memory of one process in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


class Process:
    """A child in a process group of its own, pinned to `core` ("0", "0,1"), its output in `log`."""

    def __init__(self, core: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as out:
            self.popen = subprocess.Popen(
                ["taskset", "-c", core, *command],
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Id of the process (taskset replaces itself with the command)."""
        return self.popen.pid

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for the whole group after ten seconds."""
        below = children(self.pid)
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(5)
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Polls until `condition` holds; returns the seconds it took. Raises TimeoutError naming `what`."""
    began = time.monotonic()
    while True:
        try:
            if condition():
                return time.monotonic() - began
        except OSError:
            pass
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)
