"""An OpenAI-compatible endpoint on a real socket, that does exactly what a test says, bytes and all."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager


def sse(*events, done=True):
    lines = [b"data: " + (e if isinstance(e, bytes) else json.dumps(e).encode()) + b"\n\n" for e in events]
    return b"".join([*lines, b"data: [DONE]\n\n" if done else b""])


def chunk(finish=None, index=0, **delta):
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


class Endpoint:
    """Answers with `status`, `headers` and `parts`; a part that is a number is a pause, None cuts the connection."""

    def __init__(self):
        self.status, self.headers, self.parts = 200, {}, [sse(chunk(content="hi"), chunk("stop"))]
        self.requests, self.connections, self.aborted = [], 0, asyncio.Event()
        self.url = ""

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._answer(head.decode(), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.aborted.set()
        finally:
            writer.close()

    async def _answer(self, head, reader, writer):
        line, *headers = head.split("\r\n")
        fields = {k.lower(): v.strip() for k, _, v in (h.partition(":") for h in headers)}
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        self.requests.append((line.split()[1], fields, json.loads(body) if body else None))
        if line.startswith("GET"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            return
        extra = "".join(f"{k}: {v}\r\n" for k, v in self.headers.items())
        writer.write(f"HTTP/1.1 {self.status} X\r\n{extra}transfer-encoding: chunked\r\n\r\n".encode())
        for part in self.parts:
            if part is None:
                raise ConnectionError
            if isinstance(part, bytes):
                writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                await writer.drain()
            else:
                gone = asyncio.ensure_future(reader.read(1))
                await asyncio.wait({gone}, timeout=part)
                if gone.done():
                    gone.exception()  # the end of the file or a reset: the client has left either way
                    raise ConnectionError
                gone.cancel()
                await asyncio.gather(gone, return_exceptions=True)
        writer.write(b"0\r\n\r\n")


@asynccontextmanager
async def endpoint():
    made = Endpoint()
    tasks = set()

    def accept(reader, writer):
        task = asyncio.ensure_future(made.serve(reader, writer))
        tasks.add(task)
        return task

    server = await asyncio.start_server(lambda r, w: accept(r, w) and None, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
