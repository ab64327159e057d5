"""The response side of one call on stock gRPC: a bounded buffer between a handler that pushes and a paced writer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from libs.errors import PlatformError, Reason
from libs.rpc.api import CallInfo, Handler
from libs.rpc.dispatch import Dispatcher


class Outlet:
    """A `Responder`. The handler sends; the transport takes. Over `bytes_max` for `stall_seconds` = slow reader."""

    def __init__(self, *, bytes_max: int = 1 << 20, stall_seconds: float = 5.0) -> None:
        self._queue: deque[bytes] = deque()
        self._bytes, self._bytes_max, self._stall = 0, bytes_max, stall_seconds
        self._stalled: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._callbacks: list[Callable[[], None]] = []
        self._over: PlatformError | None = None
        self._finished = False

    def send(self, response: Message) -> None:
        """See Responder."""
        self.send_encoded(response.SerializeToString())

    def send_encoded(self, payload: bytes) -> None:
        """See Responder."""
        if self._over is not None:
            raise self._over
        self._queue.append(payload)
        self._bytes += len(payload)
        self._wake.set()
        if self._bytes > self._bytes_max:
            self._overfull()

    def _overfull(self) -> None:
        self._room.clear()
        if self._stalled is None:
            self._stalled = asyncio.get_running_loop().call_later(self._stall, self._cut)

    def _cut(self) -> None:
        message = f"the reader took too little for {self._stall:g} s; the call was cut"
        self.abandon(PlatformError(Reason.SLOW_READER, message))

    def _calm(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

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
        self._calm()
        self._wake.set()
        self._room.set()
        for callback in self._callbacks:
            callback()

    def finish(self) -> None:
        """No more sends: `take` ends once the queue is empty."""
        self._finished = True
        self._calm()
        self._wake.set()

    async def take(self) -> bytes | None:
        """The next response, encoded; None at the end. Raises the error that cut the call."""
        while not self._queue:
            if self._over is not None:
                raise self._over
            if self._finished:
                return None
            self._wake.clear()
            await self._wake.wait()
        payload = self._queue.popleft()
        self._bytes -= len(payload)
        if self._bytes <= self._bytes_max:
            self._calm()
            self._room.set()
        return payload


def serve_into(
    outlet: Outlet, dispatcher: Dispatcher, handler: Handler, request: Any, info: CallInfo
) -> asyncio.Task[None]:
    """Runs a streaming handler; the outlet ends when it does. A deadline tells the handler as a cancel would."""

    async def serve() -> None:
        try:
            await dispatcher.run(info, lambda: handler.serve(request, outlet, info))  # type: ignore[call-arg, arg-type]
        except PlatformError as error:
            if error.reason is Reason.DEADLINE_EXCEEDED:
                outlet.abandon(error)
            raise
        finally:
            outlet.finish()

    task = asyncio.create_task(serve())
    # Whoever reads the outlet may have left, or had the error from it; then nobody else asks the task.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task
