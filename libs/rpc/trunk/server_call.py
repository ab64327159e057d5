"""One call from the serving side: runs the handler, spends credit, ends exactly once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import structlog
from headrace.common.v1.trunk_pb2 import Open

from libs.errors import PlatformError, Reason
from libs.rpc.api import CallInfo, Ended, Handler, StartHandler
from libs.rpc.dispatch import Dispatcher
from libs.rpc.errors import encode
from libs.rpc.trunk.calls import Assembly, Window
from libs.rpc.trunk.deadlines import Deadlines
from libs.rpc.trunk.limits import TrunkLimits
from libs.rpc.trunk.link import Link

_log = structlog.get_logger(__name__)


class Side(Protocol):
    """What a call needs of the trunk it came on."""

    link: Link
    identity: str
    dispatcher: Dispatcher
    deadlines: Deadlines
    # The loop's time: looking the running loop up costs a system call, and every call has a deadline.
    now: Callable[[], float]

    def done(self, number: int) -> None:
        """The call is over."""
        ...


class ServerCall:
    """A `Responder` for one call on one trunk."""

    __slots__ = (
        "_assembly",
        "_backlog",
        "_callbacks",
        "_ended",
        "_ending",
        "_limits",
        "_link",
        "_number",
        "_opened",
        "_over",
        "_room",
        "_said",
        "_side",
        "_started",
        "_starving",
        "_task",
        "_tell_end",
        "_window",
        "expires_at",
    )

    def __init__(self, side: Side, number: int, opened: Open, limits: TrunkLimits) -> None:
        self._side, self._link, self._number, self._limits = side, side.link, number, limits
        self._opened = opened
        self.expires_at = float("inf")
        self._assembly: Assembly | None = None
        self._window = Window(opened.credit)
        self._backlog: deque[bytes] | None = None
        self._starving: asyncio.TimerHandle | None = None
        self._room: asyncio.Event | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        # Of a `start` handler: tells the hooks how it ended; and what it said before it had begun.
        self._tell_end: Ended | None = None
        self._said: tuple[PlatformError | None] | None = None
        self._over: PlatformError | None = None
        self._started = False
        self._ending = False
        self._ended = False

    # -- the request

    def feed(self, part: bytes, *, more: bool) -> None:
        """A part of the request; the last one starts the handler. A fault ends this call alone."""
        if self._ended:
            return
        if self._started:
            self.abandon(PlatformError(Reason.INVALID_REQUEST, "the request went on after its last part"))
            return
        payload: bytes | None = part
        try:
            if more or self._assembly is not None:
                payload = self._join(part, more=more)
            if payload is not None:
                self._started = True
                self._start(payload)
        except PlatformError as error:
            self.finish(error)

    def _join(self, part: bytes, *, more: bool) -> bytes | None:
        if self._assembly is None:
            self._assembly = Assembly(self._limits.payload_bytes)
            self._expire_in((self._opened.timeout_ms or 60_000) / 1000)
        return self._assembly.feed(part, more=more)

    def _admit(self) -> tuple[Handler, CallInfo]:
        opened, found = self._opened, self._opened.metadata
        metadata = {key: found[key] for key in found} if len(found) else {}
        if sum(map(len, metadata.values())) + sum(map(len, metadata)) > self._limits.metadata_bytes:
            message = f"the call's metadata is over {self._limits.metadata_bytes} bytes; send less of it"
            raise PlatformError(Reason.PAYLOAD_TOO_LARGE, message, started=False)
        timeout = opened.timeout_ms / 1000 if opened.timeout_ms else None
        info = self._side.dispatcher.admit(opened.method, self._side.identity, timeout, metadata)
        handler = self._side.dispatcher.find(opened.method)
        assert handler is not None, "admit has found it"  # noqa: S101 - for the type checker
        return handler, info

    def _start(self, payload: bytes) -> None:
        dispatcher = self._side.dispatcher
        handler, info = self._admit()
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
        self._expire_in(dispatcher.left_seconds(info))
        if handler.start is not None:
            self._begin(handler.start, request, info)
            return
        serve = self._stream if handler.method.streaming else self._unary
        self._task = asyncio.get_running_loop().create_task(serve(handler, request, info))

    def _begin(self, start: StartHandler, request: Any, info: CallInfo) -> None:
        self._tell_end = self._side.dispatcher.start(info, partial(start, request, self, info, self._work_ended))
        if self._said is not None:
            self._work_ended(*self._said)

    def _work_ended(self, error: PlatformError | None) -> None:
        """What a `start` handler says of its end: its first word counts, and the end of the call before it."""
        tell, self._tell_end = self._tell_end, None
        if tell is None:  # it is still starting, or it repeats itself
            self._said = self._said or (error,)
            return
        error = self._over or error
        tell(error)
        self._close_after(error)

    def _close_after(self, error: PlatformError | None) -> None:
        """Ends the call once what the handler has sent is on its way."""
        self._ending = True
        if error is not None or not self._backlog:
            self.finish(error)

    async def _unary(self, handler: Handler, request: Any, info: CallInfo) -> None:
        try:
            serve: Any = handler.serve
            self._answer(await self._side.dispatcher.run(info, partial(serve, request, info), self._why))
        except PlatformError as error:
            self.finish(error)
        except asyncio.CancelledError:
            self.finish(self._why())

    async def _stream(self, handler: Handler, request: Any, info: CallInfo) -> None:
        try:
            serve: Any = handler.serve
            await self._side.dispatcher.run(info, partial(serve, request, self, info), self._why)
        except PlatformError as error:
            self.finish(error)
        except asyncio.CancelledError:
            self.finish(self._why())
        else:
            self._close_after(self._over)

    def _why(self) -> PlatformError:
        return self._over or PlatformError(Reason.WORKER_LOST, "the server stopped in the middle of the call")

    def _expire_in(self, seconds: float) -> None:
        self.expires_at = self._side.now() + seconds
        self._side.deadlines.add(self.expires_at)

    def expire(self) -> None:
        """See Expiring."""
        self.abandon(PlatformError(Reason.DEADLINE_EXCEEDED, f"{self._opened.method} did not finish in time"))

    # -- the response

    def _answer(self, response: Any) -> None:
        if self._ended:
            return
        payload = response.SerializeToString()
        if len(payload) > self._link.payload_bytes_max:
            raise self._too_large(len(payload))
        self._link.outbox.data(self._number, payload, end=True)
        self._link.kick()
        self._settle()

    def send(self, response: Any) -> None:
        """See Responder."""
        self.send_encoded(response.SerializeToString())

    def send_encoded(self, payload: bytes) -> None:
        """See Responder."""
        if self._over is not None:
            raise self._over
        link = self._link
        if len(payload) > link.payload_bytes_max:
            raise self._too_large(len(payload))
        if self._backlog or not self._window.spend(len(payload)):
            self._hold(payload)
            return
        outbox = link.outbox
        if not outbox.queued_bytes:  # else whoever put the first of them there has kicked
            link.kick()
        outbox.data(self._number, payload)

    def _hold(self, payload: bytes) -> None:
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.append(payload)
        if self._starving is None:
            self._restart_starving()

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
        if self._tell_end is not None:  # a `start` handler that did not say so itself
            self._work_ended(error)
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
        self._backlog = None
        # What they belong to mostly holds this call: a circle, which would have to wait for the garbage collector.
        self._callbacks.clear()
        if self._starving is not None:
            self._starving.cancel()
            self._starving = None
        self._side.done(self._number)
