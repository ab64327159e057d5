"""One request to these routes: what it says, and how it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from libs.errors import PlatformError, Reason
from services.gateway.api.body import Receive, read_body
from services.gateway.api.connection import EXTENSION, Connection
from services.gateway.api.gone import ClientGoneError
from services.gateway.api.headers import Headers
from services.gateway.api.streamed import Send
from services.gateway.domain.turns import Principal
from services.gateway.wire.json_text import encode
from services.gateway.wire.refusals import invalid

_INT_DIGITS_MAX = 9
# What a client has `stall` seconds to take: 13 kB/s are enough. A MiB at once would cut whoever reads 200 kB/s.
_WRITE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class AskedTimes:
    """Seconds: for a body to arrive (or, of an upload, for its next piece), and for a client to read its answer."""

    body: float = 30.0
    stall: float = 5.0


@dataclass(slots=True)
class Asked:
    """A request of an authenticated caller. `args` are what its path names."""

    scope: Mapping[str, Any]
    receive: Receive
    send: Send
    principal: Principal
    request_id: str
    times: AskedTimes
    args: Mapping[str, str] = field(default_factory=dict)
    # The status that went out, 0 = none yet.
    status: int = 0

    @property
    def connection(self) -> Connection:
        """Its connection."""
        connection: Connection = self.scope["extensions"][EXTENSION]
        return connection

    @property
    def head_only(self) -> bool:
        """Whether the client wants no body."""
        return bool(self.scope["method"] == "HEAD")

    def header(self, name: bytes) -> str | None:
        """A header's value, None where it is missing; the name in lower case."""
        for each, value in self.scope["headers"]:
            if each == name:
                return str(value.decode("latin-1"))
        return None

    def query(self, *known: str) -> dict[str, str]:
        """The parameters of the URL; what is not known is ignored."""
        pairs = parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        return {name: value for name, value in pairs if name in known}

    async def body(self, bytes_max: int) -> bytes:
        """The whole body. Raises PAYLOAD_TOO_LARGE; a client that does not send it is cut."""
        length = self.header(b"content-length")
        try:
            async with asyncio.timeout(self.times.body):
                return await read_body(self.receive, length.encode() if length else None, bytes_max)
        except TimeoutError:
            self.connection.abort()
            raise ClientGoneError from None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. A client that stops in the middle is cut."""
        more = True
        while more:
            try:
                async with asyncio.timeout(self.times.body):
                    message: MutableMapping[str, Any] = await self.receive()
            except TimeoutError:
                self.connection.abort()
                raise ClientGoneError from None
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            more = message["more_body"]
            if message["body"]:
                yield message["body"]

    async def reply(self, document: Any, status: int = 200, more: Headers | None = None) -> None:
        """One JSON document."""
        body = encode(document)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *(more or ())]
        await self.begin(status, headers)
        await self.write(body, last=True)

    async def begin(self, status: int, headers: Headers) -> None:
        """The head of an answer, with the request id."""
        self.status = status
        await self.send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*headers, (b"x-request-id", self.request_id.encode())],
            }
        )

    async def write(self, chunk: bytes, *, last: bool = False) -> None:
        """A piece of an answer, of any size; a client that does not read is cut."""
        for start in range(0, max(1, len(chunk)), _WRITE_BYTES):
            behind = start + _WRITE_BYTES
            await self._write(chunk[start:behind], more=not last or behind < len(chunk))

    async def _write(self, chunk: bytes, *, more: bool) -> None:
        try:
            async with asyncio.timeout(self.times.stall):
                await self.send({"type": "http.response.body", "body": chunk, "more_body": more})
        except TimeoutError:
            self.connection.abort()
            raise ClientGoneError from None


def integer(given: Mapping[str, str], name: str, default: int, bounds: range) -> int:
    """A parameter of the URL. Raises INVALID_REQUEST."""
    text = given.get(name, "")
    if not text:
        return default
    usable = text.isascii() and text.isdigit() and len(text) <= _INT_DIGITS_MAX and int(text) in bounds
    if not usable:
        raise invalid(name, f"'{name}' must be a whole number from {bounds[0]} to {bounds[-1]}.")
    return int(text)


def choice(given: Mapping[str, str], name: str, values: Mapping[str, Any]) -> Any:
    """What a parameter of the URL names, None where it is missing. Raises INVALID_REQUEST."""
    text = given.get(name, "")
    if text and text not in values:
        raise invalid(name, f"'{name}' must be one of {', '.join(values)}.")
    return values.get(text)


def unavailable() -> PlatformError:
    """There is no jobs service."""
    message = (
        "This gateway has no jobs service. Ask its operator to start one and to name it in `jobs.addresses`; chat "
        "calls work without."
    )
    return PlatformError(Reason.UNIMPLEMENTED, message, started=False)
