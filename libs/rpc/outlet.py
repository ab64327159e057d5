"""The response side of one call on stock gRPC: a bounded buffer between a handler that pushes and a paced writer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from google.protobuf.message import Message

from libs.errors import PlatformError, Reason


class Outlet:
    """A `Responder`. The handler sends; the transport takes. Over `bytes_max` for `stall_seconds` = slow reader."""

    def __init__(self, *, bytes_max: int = 1 << 20, stall_seconds: float = 5.0) -> None:
        self._queue: deque[tuple[Message, int]] = deque()
        self._bytes, self._bytes_max, self._stall = 0, bytes_max, stall_seconds
        self._full_since: float | None = None
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._callbacks: list[Callable[[], None]] = []
        self._over: PlatformError | None = None
        self._finished = False

    def send(self, response: Message) -> None:
        """See Responder."""
        if self._over is not None:
            raise self._over
        size = response.ByteSize()
        self._queue.append((response, size))
        self._bytes += size
        self._wake.set()
        if self._bytes > self._bytes_max:
            self._overfull()

    def _overfull(self) -> None:
        self._room.clear()
        now = asyncio.get_running_loop().time()
        if self._full_since is None:
            self._full_since = now
        elif now - self._full_since > self._stall:
            self.abandon(PlatformError(Reason.SLOW_READER, "the reader took nothing for too long; the call was cut"))
            raise self._over or PlatformError(Reason.SLOW_READER, "cut")

    async def ready(self) -> None:
        """See Responder."""
        await self._room.wait()
        if self._over is not None:
            raise self._over

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """See Responder."""
        if self._over is not None:
            callback()
        else:
            self._callbacks.append(callback)

    def abandon(self, error: PlatformError) -> None:
        """The peer is gone or was cut: tells the handler, once."""
        if self._over is not None or self._finished:
            return
        self._over = error
        self._wake.set()
        self._room.set()
        for callback in self._callbacks:
            callback()

    def finish(self) -> None:
        """No more sends: `take` ends once the queue is empty."""
        self._finished = True
        self._wake.set()

    async def take(self) -> Message | None:
        """The next response; None at the end. Raises the error that cut the call."""
        while not self._queue:
            if self._over is not None:
                raise self._over
            if self._finished:
                return None
            self._wake.clear()
            await self._wake.wait()
        message, size = self._queue.popleft()
        self._bytes -= size
        if self._bytes <= self._bytes_max:
            self._full_since = None
            self._room.set()
        return message
