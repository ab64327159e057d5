"""Real brokers for tests, as processes on loopback, and faults to put on them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from libs.kafka import KafkaSettings
from libs.kafka.embedded import embedded_command

POLL_SECONDS = 0.005


def free_port() -> int:
    """A loopback port that nobody listens on."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many of them, all different."""
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in sockets]


class BrokerProcess:
    """A broker that `command` runs. It keeps its port when it is killed and started again."""

    def __init__(
        self, command: Sequence[str], port: int, log: Path | None = None, start_seconds_max: float = 10
    ) -> None:
        self.port = port
        self._command, self._log, self._start_seconds_max = tuple(command), log, start_seconds_max
        self._process: subprocess.Popen[bytes] | None = None

    def settings(self, **changes: object) -> KafkaSettings:
        """Settings that reach this broker, with limits that suit tests."""
        near = {"brokers": (f"127.0.0.1:{self.port}",), "connect_timeout_ms": 1_000, "send_timeout_ms": 2_000}
        return KafkaSettings.model_validate({**near, **changes})

    def start(self) -> None:
        """Returns when it accepts connections."""
        out = self._log.open("ab") if self._log else None
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own command
                self._command, stdout=out or subprocess.DEVNULL, stderr=subprocess.STDOUT
            )
        finally:
            if out:
                out.close()
        end = time.monotonic() + self._start_seconds_max
        while not self._listens():
            if time.monotonic() > end or self._process.poll() is not None:
                self.kill()
                raise RuntimeError(f"the broker did not start: {' '.join(self._command)}; log: {self._log}")
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """SIGKILL. A broker in memory loses everything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers. Returns when all its threads stand still."""
        os.kill(self._pid(), signal.SIGSTOP)
        os.waitid(os.P_PID, self._pid(), os.WSTOPPED)

    def thaw(self) -> None:
        """Ends `freeze`."""
        os.kill(self._pid(), signal.SIGCONT)

    def _pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the broker is not running")
        return self._process.pid

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=0.2).close()
        except OSError:
            return False
        return True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()


def embedded_broker() -> BrokerProcess:
    """The broker of `headrace up`, not yet started; ready in some 10 ms."""
    port = free_port()
    return BrokerProcess(embedded_command(port), port)
