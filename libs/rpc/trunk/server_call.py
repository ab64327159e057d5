"""One call from the serving side: runs the handler, spends credit, ends exactly once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog
from headrace.common.v1.trunk_pb2 import Open

from libs.errors import PlatformError, Reason
from libs.rpc.api import CallInfo, Handler
from libs.rpc.dispatch import Dispatcher
from libs.rpc.errors import encode
from libs.rpc.trunk.calls import Assembly, Window
from libs.rpc.trunk.limits import TrunkLimits
from libs.rpc.trunk.link import Link

_log = structlog.get_logger(__name__)


class ServerCall:
    """A `Responder` for one call on one link. `done` is called once, when the call is over."""

    def __init__(self, link: Link, number: int, opened: Open, limits: TrunkLimits, done: Callable[[int], None]) -> None:
        self._link, self._number, self._limits, self._done = link, number, limits, done
        self._opened = opened
        self._assembly = Assembly(limits.payload_bytes)
        self._window = Window(opened.credit)
        self._backlog: deque[bytes] = deque()
        self._starving: asyncio.TimerHandle | None = None
        self._room: asyncio.Event | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._over: PlatformError | None = None
        self._started = False
        self._ending = False
        self._ended = False

    # -- the request

    def feed(self, part: bytes, dispatcher: Dispatcher, identity: str, *, more: bool) -> None:
        """A part of the request; the last one starts the handler. A fault ends this call alone."""
        if self._ended:
            return
        if self._started:
            self.abandon(PlatformError(Reason.INVALID_REQUEST, "the request went on after its last part"))
            return
        try:
            payload = self._assembly.feed(part, more=more)
            if payload is not None:
                self._started = True
                self._start(payload, dispatcher, identity)
        except PlatformError as error:
            self.finish(error)

    def _start(self, payload: bytes, dispatcher: Dispatcher, identity: str) -> None:
        opened = self._opened
        timeout = opened.timeout_ms / 1000 if opened.timeout_ms else None
        metadata = dict(opened.metadata)
        if sum(len(key) + len(value) for key, value in metadata.items()) > self._limits.metadata_bytes:
            message = f"the call's metadata is over {self._limits.metadata_bytes} bytes; send less of it"
            raise PlatformError(Reason.PAYLOAD_TOO_LARGE, message, started=False)
        info = dispatcher.admit(opened.method, identity, timeout, metadata)
        handler = dispatcher.find(opened.method)
        assert handler is not None, "admit has found it"  # noqa: S101 - for the type checker
        try:
            request = handler.method.request.FromString(payload)
        except Exception as error:  # protobuf's own error: the bytes are no such message
            message = f"the request is no {handler.method.request.__name__}"
            raise PlatformError(Reason.INVALID_REQUEST, message, started=False) from error
        if handler.quick is not None:
            answer = dispatcher.run_quick(info, lambda: handler.quick(request, info))  # type: ignore[misc]
            if answer is not None:
                self._answer(answer)
                return
        work = self._stream if handler.method.streaming else self._unary
        self._task = asyncio.ensure_future(self._guard(work(handler, request, info, dispatcher)))

    async def _guard(self, work: Any) -> None:
        try:
            await work
        except PlatformError as error:
            if error.reason is Reason.DEADLINE_EXCEEDED:
                self._tell()
            self.finish(error)
        except asyncio.CancelledError:
            self.finish(self._over or PlatformError(Reason.WORKER_LOST, "the server stopped in the middle of the call"))

    async def _unary(self, handler: Handler, request: Any, info: CallInfo, dispatcher: Dispatcher) -> None:
        self._answer(await dispatcher.run(info, lambda: handler.serve(request, info)))  # type: ignore[call-arg, arg-type]

    async def _stream(self, handler: Handler, request: Any, info: CallInfo, dispatcher: Dispatcher) -> None:
        await dispatcher.run(info, lambda: handler.serve(request, self, info))  # type: ignore[call-arg, arg-type]
        if self._over is not None:
            raise self._over
        self._ending = True
        if not self._backlog:
            self.finish(None)

    def _answer(self, response: Any) -> None:
        if self._ended:
            return
        payload = response.SerializeToString()
        if len(payload) > self._link.payload_bytes_max:
            raise self._too_large(len(payload))
        self._link.outbox.data(self._number, payload, end=True)
        self._link.kick()
        self._settle()

    # -- the response

    def send(self, response: Any) -> None:
        """See Responder."""
        if self._over is not None:
            raise self._over
        payload = response.SerializeToString()
        if len(payload) > self._link.payload_bytes_max:
            raise self._too_large(len(payload))
        if self._backlog or not self._window.spend(len(payload)):
            self._backlog.append(payload)
            if self._starving is None:
                loop = asyncio.get_running_loop()
                self._starving = loop.call_later(self._limits.starved_seconds, self._starved)
            return
        self._link.outbox.data(self._number, payload)
        self._link.kick()

    def _too_large(self, size: int) -> PlatformError:
        return PlatformError(
            Reason.PAYLOAD_TOO_LARGE, f"a response of {size} bytes is over {self._link.payload_bytes_max}"
        )

    async def ready(self) -> None:
        """See Responder."""
        while self._over is None and (self._backlog or self._window.left <= 0):
            self._room = asyncio.Event()
            await self._room.wait()
        if self._over is not None:
            raise self._over

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """See Responder."""
        if self._over is not None:
            callback()
        else:
            self._callbacks.append(callback)

    def grant(self, credit: int) -> None:
        """The peer took that much."""
        self._window.grant(credit)
        while self._backlog and self._window.spend(len(self._backlog[0])):
            self._link.outbox.data(self._number, self._backlog.popleft())
            self._link.kick()
        if self._backlog:
            self._restart_starving()
            return
        if self._starving is not None:
            self._starving.cancel()
            self._starving = None
        if self._ending:
            self.finish(None)
        elif self._room is not None:
            self._room.set()

    def _restart_starving(self) -> None:
        if self._starving is not None:
            self._starving.cancel()
        self._starving = asyncio.get_running_loop().call_later(self._limits.starved_seconds, self._starved)

    def _starved(self) -> None:
        seconds = self._limits.starved_seconds
        self.abandon(PlatformError(Reason.SLOW_READER, f"the reader took nothing for {seconds:g} s; the call was cut"))

    # -- the end

    def abandon(self, error: PlatformError) -> None:
        """The peer cancelled, was lost or reads too slowly: the handler is told and cancelled, in this tick."""
        if self._over is not None or self._ended:
            return
        self._over = error
        self._tell()
        if self._room is not None:
            self._room.set()
        if self._task is not None and not self._task.done():
            self._task.cancel()
        self.finish(error)

    def _tell(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback()
            except Exception as error:  # a handler's fault must not reach the other calls of the trunk
                _log.error("a cancel callback failed", method=self._opened.method, error=type(error).__name__)

    def finish(self, error: PlatformError | None) -> None:
        """Ends the call on the wire, once."""
        if self._ended:
            return
        if error is not None and self._over is None:
            self._over = error
        status = b"" if error is None else encode(error).SerializeToString()
        self._link.outbox.close(self._number, status)
        self._link.kick()
        self._settle()

    def _settle(self) -> None:
        self._ended = True
        self._backlog.clear()
        if self._starving is not None:
            self._starving.cancel()
            self._starving = None
        self._done(self._number)
