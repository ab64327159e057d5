"""A trunk's messages on a plain TCP connection, which both sides agree on in their greeting.

A message on a gRPC stream costs each side some 150 µs in gRPC's own threads and system calls; here it is a length and
one write. The greeting stays on gRPC: who may open a trunk is settled there, and the connection is let in by a ticket
that the greeting brought. Where the second port cannot be reached, the trunk stays on the stream.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections import deque
from typing import cast

# In a Hello: this side can move its trunk to a connection of its own.
FEATURE = "socket"
TICKET_BYTES = 16
_LENGTH = struct.Struct("<I")
# What may wait here for the link before the peer has to.
_WAITING_BYTES_MAX = 8 * 1024 * 1024
_WRITE_BUFFER_BYTES = 256 * 1024
_LINGER_SECONDS = 1.0


class SocketPipe(asyncio.Protocol):
    """A link's pipe (link.Pipe): messages behind their length, little-endian uint32."""

    def __init__(self, message_bytes_max: int) -> None:
        self._message_bytes_max = message_bytes_max
        self._buffer = bytearray()
        self._messages: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._transport: asyncio.Transport | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._paused = False
        self._ended: Exception | None = None
        self._over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not derive from asyncio's
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        buffer, at = self._buffer, 0
        buffer += data
        while len(buffer) - at >= 4:
            size = _LENGTH.unpack_from(buffer, at)[0]
            if size > self._message_bytes_max:
                self.close()
                self._end(ConnectionError(f"a message of {size} bytes is over the limit"))
                return
            end = at + 4 + size
            if len(buffer) < end:
                break
            self.message_received(bytes(buffer[at + 4 : end]))
            at = end
        del buffer[:at]

    def message_received(self, message: bytes) -> None:
        """One message has come."""
        self._messages.append(message)
        self._waiting_bytes += len(message)
        if self._waiting_bytes > _WAITING_BYTES_MAX and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol. What has come can still be read."""
        if self._linger is not None:
            self._linger.cancel()
        self._end(exc)

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._paused = True

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._paused = False
        writer, self._writer = self._writer, None
        if writer is not None and not writer.done():
            writer.set_result(None)

    def _end(self, why: Exception | None) -> None:
        if not self._over:
            self._over, self._ended = True, why
            self._wake()
            self.resume_writing()

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    async def read(self) -> bytes | None:
        """The next message; None at the end. Raises what the connection was lost by. For one reader."""
        while not self._messages:
            if self._over:
                if self._ended is not None:
                    raise self._ended
                return None
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        message = self._messages.popleft()
        before, self._waiting_bytes = self._waiting_bytes, self._waiting_bytes - len(message)
        if before > _WAITING_BYTES_MAX >= self._waiting_bytes and self._transport is not None and not self._over:
            self._transport.resume_reading()
        return message

    async def write(self, data: bytes) -> None:
        """Writes a message; returns when the connection has taken it or buffers little. For one writer."""
        if self._over or self._transport is None:
            raise self._ended or ConnectionResetError("the connection is closed")
        self._transport.write(_LENGTH.pack(len(data)) + data)
        while self._paused and not self._over:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer

    def close(self) -> None:
        """Closes once what was written is out, or a second later: a peer that hangs takes nothing. Repeats are fine."""
        if self._transport is not None and self._linger is None and not self._over:
            self._transport.close()
            self._linger = asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._transport.abort)


class SocketDoor:
    """The accepting side's port. A connection that does not show a valid ticket within `seconds` is cut."""

    def __init__(self, message_bytes_max: int, seconds: float) -> None:
        self.message_bytes_max, self.seconds = message_bytes_max, seconds
        self._expected: dict[bytes, asyncio.Future[SocketPipe]] = {}
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self, host: str, port: int) -> None:
        """Listens; 0 = any free port. Raises OSError."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Visitor(self), host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    def ticket(self) -> bytes:
        """A new ticket, good once; `enter` or `void` it."""
        ticket = secrets.token_bytes(TICKET_BYTES)
        self._expected[ticket] = asyncio.get_running_loop().create_future()
        return ticket

    def admit(self, ticket: bytes, pipe: SocketPipe) -> bool:
        """Whether a connection that shows this ticket may stay."""
        expected = self._expected.get(ticket)
        if expected is None or expected.done():
            return False
        expected.set_result(pipe)
        return True

    async def enter(self, ticket: bytes) -> SocketPipe:
        """The connection that shows the ticket. Raises TimeoutError when none does."""
        expected = self._expected[ticket]
        try:
            return await asyncio.wait_for(asyncio.shield(expected), self.seconds)
        except BaseException:
            self.void(ticket)
            raise
        finally:
            self._expected.pop(ticket, None)

    def void(self, ticket: bytes) -> None:
        """The ticket is good no more; a connection that came with it is closed. A repeat does nothing."""
        expected = self._expected.pop(ticket, None)
        if expected is not None and not expected.cancel():
            expected.result().close()

    def close(self) -> None:
        """Accepts no more; connections that are in stay. A repeat does nothing."""
        if self._server is not None:
            self._server.close()


class _Visitor(SocketPipe):
    """A connection whose first message is its ticket."""

    def __init__(self, door: SocketDoor) -> None:
        super().__init__(TICKET_BYTES)  # a stranger may send no more
        self._door = door
        self._inside = False
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._patience = asyncio.get_running_loop().call_later(self._door.seconds, self.close)

    def message_received(self, message: bytes) -> None:
        if self._inside:
            super().message_received(message)
            return
        if self._patience is not None:
            self._patience.cancel()
        if self._door.admit(message, self):
            self._inside, self._message_bytes_max = True, self._door.message_bytes_max
            if self._transport is not None:
                self._transport.write(_LENGTH.pack(len(message)) + message)  # the caller moves when it sees it back
        else:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)


async def connect(host: str, port: int, ticket: bytes, *, message_bytes_max: int, seconds: float) -> SocketPipe | None:
    """The dialling side's connection to a peer's door; None when it is not let in within that time.

    It must see its ticket back: a connection that was made may have ended at another process, or at a silent proxy.
    """
    loop = asyncio.get_running_loop()
    pipe = SocketPipe(message_bytes_max)
    try:
        async with asyncio.timeout(seconds):
            await loop.create_connection(lambda: pipe, host, port)
            await pipe.write(ticket)
            if await pipe.read() == ticket:
                return pipe
    except (OSError, TimeoutError):
        pass
    except BaseException:  # the channel is being closed
        pipe.close()
        raise
    pipe.close()
    return None
