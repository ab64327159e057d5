"""One connection to the store, as a pipeline without end: what is asked in one event-loop tick leaves in one write.

Every paid call asks the store twice, and a pipeline of redis-py's asyncio client costs two to three times the CPU
(`python -m loadtests.store_client`; docs/decisions/0007-store-client.md).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import hiredis
from redis.connection import SSLConnection, parse_url
from redis.exceptions import ResponseError

# How a reply is shaped for its command, by the command's name; a command without one gets the reply as it is.
Shapes = Mapping[str, Callable[[Any], Any]]
Sent = tuple[str, float, "asyncio.Future[Any]"]


class Link(asyncio.Protocol):
    """`submit` sends a command and gives the future of its reply. Once `lost`, it is of no use any more."""

    def __init__(self, shapes: Shapes, on_lost: Callable[[str], None]) -> None:
        self._shapes = shapes
        self._on_lost = on_lost
        self._reader = hiredis.Reader(replyError=ResponseError)
        self._waiting: deque[Sent] = deque()
        self._out: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._gone = self._loop.create_future()
        self.lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        self._transport = transport

    def submit(self, args: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Sends a command with what else is asked in this tick; on a loss its future fails with ConnectionError."""
        future = self._loop.create_future()
        if self.lost:
            future.set_exception(ConnectionError("the connection was lost"))
            return future
        self._waiting.append((args[0], self._loop.time(), future))
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(hiredis.pack_command(args))
        return future

    def _flush(self) -> None:
        out, self._out = self._out, []
        if not self.lost:
            self._transport.write(b"".join(out))

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._deliver(reply)
        except hiredis.ProtocolError as problem:
            self.close(f"what it sends is no RESP ({problem})")

    def _deliver(self, reply: Any) -> None:
        name, _, future = self._waiting.popleft()
        if future.done():  # the caller has gone
            return
        if isinstance(reply, Exception):
            future.set_exception(reply)
            return
        shape = self._shapes.get(name)
        future.set_result(reply if shape is None else shape(reply))

    def waiting_since(self) -> float | None:
        """Loop time at which the command was sent whose reply is due next; None = none is due."""
        return self._waiting[0][1] if self._waiting else None

    async def closed(self) -> None:
        """Returns when the connection is closed, which takes the event loop a turn."""
        await self._gone

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if not self._gone.done():
            self._gone.set_result(None)
        self.close(f"the connection was lost ({exc or 'closed by the store'})")

    def close(self, why: str) -> None:
        """Drops the connection and fails what waits; a repeat does nothing."""
        if self.lost:
            return
        self.lost = True
        self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for _, _, future in waiting:
            if not future.done():
                future.set_exception(ConnectionError(why))
        self._on_lost(why)


async def connect(url: str, shapes: Shapes, on_lost: Callable[[str], None]) -> Link:
    """A link to the store at `url`, logged in and with its database selected. Raises OSError or ResponseError."""
    where = parse_url(url)
    loop = asyncio.get_running_loop()

    def link() -> Link:
        return Link(shapes, on_lost)

    if "path" in where:
        _, made = await loop.create_unix_connection(link, where["path"])
    else:
        secure = _tls(where) if where.get("connection_class") is SSLConnection else None
        _, made = await loop.create_connection(
            link, where.get("host", "localhost"), where.get("port", 6379), ssl=secure
        )
    try:
        await _greet(made, where)
    except BaseException:
        made.close("it refused the greeting")
        raise
    return made


async def _greet(link: Link, where: Mapping[str, Any]) -> None:
    if password := where.get("password"):
        user = where.get("username")
        await link.submit(("AUTH", user, password) if user else ("AUTH", password))
    if database := int(where.get("db") or 0):
        await link.submit(("SELECT", database))
    await link.submit(("PING",))


def _tls(where: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=where.get("ssl_ca_certs"))
    if certificate := where.get("ssl_certfile"):
        context.load_cert_chain(certificate, where.get("ssl_keyfile"))
    return context
