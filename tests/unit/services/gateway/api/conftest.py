"""Raw HTTP over a real socket: what stands in the bytes is the point of these tests."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

import pytest

BODY = {"model": "small", "messages": [{"role": "user", "content": "hi"}]}


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    raw: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def events(self):
        """Decoded `data:` lines; the last is usually "[DONE]"."""
        lines = [part[len("data: ") :] for part in self.body.decode().split("\n\n") if part.startswith("data: ")]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]


def request_bytes(body=None, *, method="POST", path="/v1/chat/completions", headers=(), raw=None):
    data = raw if raw is not None else (b"" if body is None else json.dumps(body).encode())
    head = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(data)}", *headers]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + data


def unchunk(data: bytes) -> bytes:
    out = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        n = int(size, 16)
        out += rest[:n]
        data = rest[n + 2 :]
        if n == 0:
            break
    return out


async def exchange(port: int, data: bytes, *, limit: float = 5.0) -> Reply:
    """One request on one connection, read to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data.replace(b"\r\nhost: x", b"\r\nhost: x\r\nconnection: close", 1))
        raw = await asyncio.wait_for(reader.read(), limit)
    finally:
        writer.close()
        await writer.wait_closed()
    return parse(raw)


def parse(raw: bytes) -> Reply:
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    if headers.get("transfer-encoding") == "chunked":
        body = unchunk(body)
    return Reply(int(lines[0].split()[1]), headers, body, raw)


async def until(condition, limit: float = 3.0) -> None:
    """Polls a condition of the other end of a socket."""
    deadline = asyncio.get_running_loop().time() + limit
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition never held"
        await asyncio.sleep(0.005)


@dataclass
class Wire:
    body = BODY
    request_bytes = staticmethod(request_bytes)
    exchange = staticmethod(exchange)
    parse = staticmethod(parse)
    until = staticmethod(until)

    @staticmethod
    async def post(port, body=None, **more):
        return await exchange(port, request_bytes({**BODY, **(body or {})}, **more))


@pytest.fixture
def wire():
    return Wire()
