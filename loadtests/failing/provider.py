"""A provider of chat completions that answers, fails, or says nothing, as it is told; it counts what it is sent."""

from __future__ import annotations

import asyncio
import json
from typing import Literal

Mood = Literal["well", "500", "429", "reset"]
_EVENTS = [
    {"choices": [{"index": 0, "delta": {"content": "well "}}]},
    {"choices": [{"index": 0, "delta": {"content": "done"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 2}},
]
ANSWER = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in _EVENTS) + b"data: [DONE]\n\n"
FAILURE = json.dumps({"error": {"message": "the server had an error", "type": "server_error"}}).encode()


class Provider:
    """One endpoint on loopback. `asked` = chat requests that reached it; `retry_after` goes with a 429."""

    def __init__(self) -> None:
        self.mood: Mood = "well"
        self.retry_after = 2
        self.asked = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listens, and returns the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stops listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readline():
                length = 0
                while (line := await reader.readline()) not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                await reader.readexactly(length)
                if request.startswith(b"GET"):
                    self._write(writer, "200 OK", "application/json", b'{"data": []}')
                    continue
                self.asked += 1
                if self.mood == "reset":
                    writer.transport.abort()
                    return
                self._answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def _answer(self, writer: asyncio.StreamWriter) -> None:
        if self.mood == "well":
            self._write(writer, "200 OK", "text/event-stream", ANSWER)
        elif self.mood == "500":
            self._write(writer, "500 Internal Server Error", "application/json", FAILURE)
        else:
            more = f"retry-after: {self.retry_after}\r\n"
            self._write(writer, "429 Too Many Requests", "application/json", FAILURE, more)

    @staticmethod
    def _write(writer: asyncio.StreamWriter, status: str, kind: str, body: bytes, more: str = "") -> None:
        head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
        writer.write(head.encode() + body)
