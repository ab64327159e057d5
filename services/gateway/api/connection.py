"""What the hot route knows of its connection beyond ASGI: that it is gone, how to cut it, how much it may buffer.

ASGI tells of a lost client through `receive`, which would cost a task per request, and has no way to drop what a slow
reader has not read. uvicorn takes the protocol class as a setting; this one adds exactly that and shapes its own 400.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.gateway.wire.openai_errors import error_body, from_status

EXTENSION = "headrace.connection"


class Connection(HttpToolsProtocol):
    """One client connection. `write_buffer_bytes` is set by `protocol_class`."""

    write_buffer_bytes = 65_536
    # True once the client is gone.
    lost = False
    # Called once when the client goes away; the route that runs sets and clears it.
    on_gone: Callable[[], Any] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Bounds what the transport buffers for this client; above it, uvicorn's `send` waits."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=self.write_buffer_bytes)
        self._extensions = {EXTENSION: self}

    def on_message_begin(self) -> None:
        """Shows the connection to the application, in the scope's extensions."""
        super().on_message_begin()
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item]

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells the route that runs, in this tick."""
        self.lost = True
        super().connection_lost(exc)
        if self.on_gone is not None:
            self.on_gone()

    @property
    def receiving(self) -> bool:
        """True while a part of the request's body is still to come."""
        return bool(self.cycle.more_body)

    def listen(self) -> None:
        """Reads on after a long body: a transport that does not read never learns that the client has gone."""
        self.flow.resume_reading()

    def try_write(self, chunk: bytes) -> bool:
        """Writes a middle chunk of the running answer now; False when it must wait its turn in `send`.

        The same bytes as uvicorn's `send`, without a coroutine and a message for each frame.
        """
        if self.flow.write_paused or self.lost:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        return True

    def abort(self) -> None:
        """Cuts the client and forgets what it has not read."""
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """The answer to bytes that are not HTTP, in the shape of every other error."""
        body = error_body(from_status(400, msg))
        head = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\n"
        head += b"content-length: %d\r\n\r\n" % len(body)
        self.transport.write(head + body)
        self.transport.close()


def protocol_class(write_buffer_bytes: int) -> type[Connection]:
    """The protocol class for uvicorn's `http` setting."""
    return type("BoundedConnection", (Connection,), {"write_buffer_bytes": write_buffer_bytes})
