"""What the hot route knows of its connection beyond ASGI: that it is gone, how to cut it, how much it may buffer.

ASGI tells of a lost client through `receive`, which would cost a task per request, and has no way to drop what a slow
reader has not read. uvicorn takes the protocol class as a setting; this one adds exactly that and shapes its own 400.

The `try_` methods write what uvicorn's `send` would, without a coroutine and a dictionary per message, and head and
body in one write. Their headers come from this code or were checked (session ids, names of workers), so they are not
looked through again. False: nothing was written, and `send` must do it (it waits for a slow reader, or the case is a
rare one).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from services.gateway.api.headers import Headers
from services.gateway.wire.openai_errors import error_body, from_status

EXTENSION = "headrace.connection"
_END = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`write_buffer_bytes` are buffered for a client before its stream waits; `header_seconds` may a head take, and
    `header_bytes` may it have (names and values of headers, and the URL).
    """

    write_buffer_bytes: int = 65_536
    connections_max: int = 10_000
    header_seconds: float = 30.0
    header_bytes: int = 65_536


class _HeadTooLargeError(Exception):
    """Ends the parsing of a message whose head is here whole and too large."""


class Connection(HttpToolsProtocol):
    """One client connection. `limits` is set by `protocol_class`."""

    limits = ConnectionLimits()
    # Loop time since which the head of a request is awaited; None while none is.
    head_awaited_since: float | None = None
    # The request that is being answered; `cycle` is the last one whose head has come, which may have to wait for it.
    running: RequestResponseCycle
    # True once the client is gone.
    lost = False
    # While a head is arriving: the bytes that came since the chunk it began in, with that one. The parser has no bound.
    _in_head = False
    _head_bytes = 0
    _first_bytes = 0
    _chunk_bytes = 0
    _head_too_large = False
    # Called once when the client goes away; the route that runs sets and clears it.
    on_gone: Callable[[], Any] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Bounds what the transport buffers for this client; above it, uvicorn's `send` waits.

        A connection beyond the limit is told so and closed: each takes memory and a file descriptor.
        """
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=self.limits.write_buffer_bytes)
        self._extensions = {EXTENSION: self}
        self.head_awaited_since = self.loop.time()
        if len(self.connections) > self.limits.connections_max:
            self._refuse(503, f"This gateway has {self.limits.connections_max} connections open already; try later.")

    def data_received(self, data: bytes) -> None:
        """Bounds a head that comes in many chunks; one that comes whole is looked at in `on_headers_complete`."""
        arriving = self._in_head
        self._chunk_bytes = len(data)
        super().data_received(data)
        if not self._in_head:
            return
        self._head_bytes += len(data)
        if not arriving:
            # It may hold the end of the message before, too.
            self._first_bytes = len(data)
        elif self._head_bytes - self._first_bytes > self.limits.header_bytes:
            self._refuse_head()

    def on_message_begin(self) -> None:
        """Shows the connection to the application, in the scope's extensions."""
        super().on_message_begin()
        self.head_awaited_since = self.loop.time()
        self._in_head, self._head_bytes = True, 0
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item]

    def on_headers_complete(self) -> None:
        """The head is here. It is measured only where it can be too large: most come in one small chunk."""
        self.head_awaited_since = None
        self._in_head = False
        if self._head_bytes + self._chunk_bytes > self.limits.header_bytes:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > self.limits.header_bytes:
                self._head_too_large = True
                raise _HeadTooLargeError
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """The next head is awaited, whatever comes instead: uvicorn's timer for idle connections stops at any byte."""
        self.head_awaited_since = self.loop.time()
        super().on_response_complete()

    def look(self, now: float) -> None:
        """Cuts a client that sends no head: at first, behind an answer, or not to its end. `now` is loop time."""
        since = self.head_awaited_since
        if since is None or now - since <= self.limits.header_seconds:
            return
        if (
            self.cycle is None or self.running.response_complete
        ):  # who waits for an answer may be slow with the next head
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells the route that runs, in this tick."""
        self.lost = True
        super().connection_lost(exc)
        if self.on_gone is not None:
            self.on_gone()

    @property
    def receiving(self) -> bool:
        """True while a part of the request's body is still to come."""
        return bool(self.running.more_body)

    def whole_body(self) -> bytes:
        """The body of a request that is no longer `receiving`, once."""
        body, self.running.body = bytes(self.running.body), bytearray()
        return body

    def listen(self) -> None:
        """Reads on after a long body: a transport that does not read never learns that the client has gone."""
        self.flow.resume_reading()

    def try_write(self, chunk: bytes) -> bool:
        """Writes a middle chunk of the running answer now."""
        if self.flow.write_paused or self.lost:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        return True

    def try_begin(self, headers: Headers, chunk: bytes, *, last: bool) -> bool:
        """Begins a 200 of unknown length: head and first chunk (and the end with the `last` one) in one write."""
        cycle = self.running
        if self.flow.write_paused or self.lost or cycle.waiting_for_100_continue:
            return False
        if cycle.scope["http_version"] != "1.1":
            return False
        cycle.response_started = cycle.chunked_encoding = True
        head, end = self._head(200, headers), _END if last else b""
        self.transport.write(b"%btransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n%b" % (head, len(chunk), chunk, end))
        if last:
            self._completed()
        return True

    def try_end(self, chunk: bytes) -> bool:
        """Writes the last chunk of the running answer and its end."""
        if self.flow.write_paused or self.lost:
            return False
        self.transport.write(b"%x\r\n%b\r\n%b" % (len(chunk), chunk, _END))
        self._completed()
        return True

    def try_whole(self, status: int, headers: Headers, body: bytes) -> bool:
        """Writes a whole answer in one go."""
        cycle = self.running
        if self.flow.write_paused or self.lost or cycle.response_started or cycle.waiting_for_100_continue:
            return False
        cycle.response_started = True
        self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (self._head(status, headers), len(body), body))
        self._completed()
        return True

    def _head(self, status: int, headers: Headers) -> bytes:
        parts = [STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        if not self.running.keep_alive:
            parts.append(b"connection: close\r\n")
        return b"".join(parts)

    def _completed(self) -> None:
        """What uvicorn's `send` does after the last byte of an answer."""
        cycle = self.running
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def abort(self) -> None:
        """Cuts the client and forgets what it has not read."""
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """The answer to bytes that are not HTTP, in the shape of every other error."""
        if self._head_too_large:
            self._refuse_head()
        else:
            self._refuse(400, msg)

    def _refuse_head(self) -> None:
        self._refuse(431, f"The headers are larger than {self.limits.header_bytes} bytes. Send fewer or shorter ones.")

    def _refuse(self, status: int, why: str) -> None:
        """Says why and closes, without a request that could be answered."""
        body = error_body(from_status(status, why))
        head = b"connection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()


def protocol_class(limits: ConnectionLimits) -> type[Connection]:
    """The protocol class for uvicorn's `http` setting."""
    return type("LimitedConnection", (Connection,), {"limits": limits})
