"""A small client on raw sockets: cheap, with the arrival time of every event of a stream."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """One answer. `events` are (monotonic seconds, decoded data line); `done` says that [DONE] came."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    sent: float = 0.0
    done: bool = False
    body: bytes = b""

    @property
    def error(self) -> dict[str, Any] | None:
        """The error event or error body, if one came."""
        for _, event in self.events:
            if "error" in event:
                return dict(event["error"])
        if self.status >= 400:
            return dict(json.loads(self.body or b"{}").get("error") or {})
        return None

    def text(self, choice: int = 0) -> str:
        """Content of one choice, joined."""
        items = (item for _, event in self.events for item in event.get("choices", ()))
        return "".join(item["delta"].get("content") or "" for item in items if item["index"] == choice)

    def finish(self, choice: int = 0) -> str | None:
        """finish_reason of one choice."""
        for _, event in self.events:
            for item in event.get("choices", ()):
                if item["index"] == choice and item.get("finish_reason"):
                    return str(item["finish_reason"])
        return None

    @property
    def usage(self) -> dict[str, Any]:
        """The usage of the usage chunk or of a whole answer, with its `headrace` object beside it."""
        whole_answer = [(0.0, json.loads(self.body))] if self.body and self.status == 200 else []
        for _, event in reversed([*self.events, *whole_answer]):
            if event.get("usage"):
                return {**event["usage"], "headrace": event.get("headrace") or event["usage"].get("headrace") or {}}
        return {}

    def content_times(self) -> list[float]:
        """Arrival of each event that holds content."""
        return [
            at
            for at, event in self.events
            if any(c["delta"].get("content") or c["delta"].get("tool_calls") for c in event.get("choices", ()))
        ]

    @property
    def ttft(self) -> float:
        """Seconds from the request's last byte to the first content; NaN without content."""
        times = self.content_times()
        return times[0] - self.sent if times else float("nan")


async def stream(
    port: int, body: dict[str, Any], headers: dict[str, str], host: str = "127.0.0.1", *, into: Answer | None = None
) -> Answer:
    """POST /v1/chat/completions with stream true; reads to the end of the answer. Raises OSError.

    `into` is filled as the answer comes: what has arrived of one that breaks off is in it.
    """
    streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
    return await _post(port, streamed, headers, host, into or Answer())


async def whole(
    port: int, body: dict[str, Any], headers: dict[str, str], host: str = "127.0.0.1", *, into: Answer | None = None
) -> Answer:
    """POST /v1/chat/completions, answered in one piece. Raises OSError."""
    return await _post(port, body, headers, host, into or Answer())


async def call(
    port: int,
    method: str,
    path: str,
    headers: dict[str, str],
    body: dict[str, Any] | None = None,
    host: str = "127.0.0.1",
) -> Answer:
    """Any route's answer in one piece; `body` is sent as JSON. Raises OSError."""
    return await _send(port, method, path, body, headers, host, Answer())


async def _post(port: int, body: dict[str, Any], headers: dict[str, str], host: str, answer: Answer) -> Answer:
    return await _send(port, "POST", "/v1/chat/completions", body, headers, host, answer)


async def _send(
    port: int,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    headers: dict[str, str],
    host: str,
    answer: Answer,
) -> Answer:
    reader, writer = await asyncio.open_connection(host, port)
    payload = b"" if body is None else json.dumps(body).encode()
    lines = [f"{k}: {v}" for k, v in {"host": f"{host}:{port}", "content-type": "application/json", **headers}.items()]
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, f"content-length: {len(payload)}", "", ""])
    writer.write(head.encode() + payload)
    answer.sent = time.monotonic()
    try:
        await _read(reader, answer)
    except asyncio.IncompleteReadError as cut:
        raise ConnectionResetError("the answer broke off") from cut
    finally:
        writer.close()
    return answer


async def _line(reader: asyncio.StreamReader) -> bytes:
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise ConnectionResetError("the answer broke off")
    return line


async def _read(reader: asyncio.StreamReader, answer: Answer) -> None:
    status = await _line(reader)
    answer.status = int(status.split()[1])
    while (line := (await _line(reader)).strip()) != b"":
        name, value = line.decode().split(":", 1)
        answer.headers[name.lower()] = value.strip()
    if "content-length" in answer.headers:
        answer.body = await reader.readexactly(int(answer.headers["content-length"]))
        return
    buffer = b""
    while (size := int((await _line(reader)).split(b";")[0], 16)) > 0:
        buffer += await reader.readexactly(size)
        await _line(reader)
        *lines, buffer = buffer.split(b"\n")
        now = time.monotonic()
        for data in lines:
            if data == b"data: [DONE]":
                answer.done = True
            elif data.startswith(b"data:"):
                answer.events.append((now, json.loads(data[5:])))
