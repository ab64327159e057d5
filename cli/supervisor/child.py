"""A child process: its own process group, bound to the life of this process, its output read line by line."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from cli.supervisor.spec import ProcessSpec

LAUNCHER = Path(__file__).with_name("launch.py")
LINE_BYTES_MAX = 64 * 1024
OUTPUT_SECONDS_MAX = 1.0


class Child:
    """One life of a process. `started_at` (epoch seconds) tells it from a later process with the same pid."""

    def __init__(
        self, process: asyncio.subprocess.Process, output: asyncio.StreamReader, on_line: Callable[[str], None]
    ) -> None:
        self._process = process
        self._output = output
        self.pid = process.pid
        self.started_at = start_time(process.pid) or 0.0
        self._pump = asyncio.create_task(self._read(on_line), name=f"log-{process.pid}")

    async def wait(self) -> int:
        """The exit status (negative = signal), after which nothing of its process group is left."""
        code = await self._process.wait()
        kill_group(self.pid)
        # A process that left the group may hold the pipe for ever; it must not hold the restart.
        await asyncio.wait([self._pump], timeout=OUTPUT_SECONDS_MAX)
        self._pump.cancel()
        return code

    def terminate(self) -> None:
        """Asks for a drain. To the leader alone: it stops its engine itself when its streams are done."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """Ends the whole group at once."""
        kill_group(self.pid)

    async def _read(self, on_line: Callable[[str], None]) -> None:
        while True:
            try:
                raw = await self._output.readline()
            except ValueError:  # longer than the limit; asyncio has dropped what it held
                on_line("(a line over 64 KiB was left out)")
                continue
            if not raw:
                return
            on_line(raw.decode(errors="replace").rstrip("\r\n"))


async def spawn(spec: ProcessSpec, on_line: Callable[[str], None]) -> Child:
    """Starts the process of `spec`; raises OSError where that is impossible."""
    # A pipe of our own: with asyncio's, `wait` returns only when every grandchild has closed it too.
    read_end, write_end = os.pipe()
    output = await _reader(read_end)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-IS", str(LAUNCHER), str(os.getpid()), *spec.argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=write_end,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **spec.environment},
            start_new_session=True,
        )
    finally:
        os.close(write_end)
    return Child(process, output, on_line)


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


def kill_group(leader: int) -> None:
    """SIGKILL to every process of the group; a group that is gone is fine."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def start_time(pid: int) -> float | None:
    """When the process was born, epoch seconds; None when there is none (or it is a zombie)."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None
