"""The worker's end of the engine process: starts it, writes commands once per tick, hands its steps on."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import msgspec

from services.inference.adapters.simulated.protocol import Abort, Add, Frames, Start, StepOut, frame

_ROOT = Path(__file__).resolve().parents[4]


class Link(asyncio.Protocol):
    """One engine process. `on_steps` gets all steps of one read; `on_lost` is called once when it ends by itself."""

    def __init__(self, on_steps: Callable[[Sequence[StepOut]], None], on_lost: Callable[[], None]) -> None:
        self._on_steps, self._on_lost = on_steps, on_lost
        self._frames = Frames()
        self._decode = msgspec.msgpack.Decoder(StepOut).decode
        self._unsent: list[bytes] = []
        self._transport: asyncio.WriteTransport | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self, start: Start) -> None:
        """Starts the process. Raises OSError."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - the socket module's form
        module = "services.inference.adapters.simulated.child"
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own module; forking takes a millisecond
                [sys.executable, "-m", module, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                cwd=_ROOT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, map(str, sys.path)))},
            )
        self._loop = (
            asyncio.get_running_loop()
        )  # kept: looking it up costs a system call, and every request has commands
        await self._loop.create_unix_connection(lambda: self, sock=ours)
        self.send(start)

    @property
    def pid(self) -> int:
        """Process id of the engine; 0 before it was started."""
        return self._process.pid if self._process else 0

    def send(self, command: Start | Add | Abort) -> None:
        """Queues a command; all of one tick go in one write."""
        if not self._unsent and self._loop is not None:
            self._loop.call_soon(self._flush)
        self._unsent.append(frame(command))

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(unsent))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if bodies := self._frames.feed(data):
            self._on_steps([self._decode(body) for body in bodies])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - any loss is a death
        """See asyncio.Protocol."""
        if not self._closing:
            self._on_lost()

    async def close(self) -> None:
        """Ends the process. A repeat does nothing."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)
