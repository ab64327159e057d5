"""Server-sent events of a chat completion, decoded to deltas."""

from __future__ import annotations

from typing import Any

import msgspec

from libs.errors import PlatformError, Reason
from services.inference.adapters.upstream.errors import in_stream
from services.inference.ports import MessageDelta


class Lines:
    """Cuts a byte stream into lines; a line without an end may not grow without bound."""

    def __init__(self, line_bytes_max: int) -> None:
        self._rest, self._max = b"", line_bytes_max

    def feed(self, data: bytes) -> list[bytes]:
        """Complete lines. Raises PlatformError(UPSTREAM_ERROR) for an endless one."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self._max:
            raise PlatformError(Reason.UPSTREAM_ERROR, "the upstream endpoint sent a line beyond the limit")
        return [line.rstrip(b"\r") for line in lines]


class Events:
    """Turns lines into deltas. `done` once the endpoint said that the answer is whole."""

    def __init__(self) -> None:
        self.done = False
        self.finished = 0

    def feed(self, line: bytes) -> list[MessageDelta]:
        """Deltas of one line. Raises PlatformError(UPSTREAM_ERROR) for what is no chunk, or an error event."""
        if not line.startswith(b"data:"):
            return []
        data = line[5:].strip()
        if data == b"[DONE]":
            self.done = True
            return []
        try:
            return self._chunk(msgspec.json.decode(data))
        except (msgspec.DecodeError, TypeError, KeyError, AttributeError, ValueError) as error:
            raise PlatformError(
                Reason.UPSTREAM_ERROR, "the upstream endpoint sent an event that is no chat chunk"
            ) from error

    def _chunk(self, chunk: dict[str, Any]) -> list[MessageDelta]:
        if "error" in chunk:
            raise in_stream(chunk)
        deltas = [self._choice(choice) for choice in chunk.get("choices") or ()]
        if usage := chunk.get("usage"):
            deltas.append(_usage(usage))
        return deltas

    def _choice(self, choice: dict[str, Any]) -> MessageDelta:
        delta = choice.get("delta") or {}
        self.finished += bool(choice.get("finish_reason"))
        return MessageDelta(
            choice=int(choice.get("index") or 0),
            text=_text(delta.get("content")) + _text(delta.get("refusal")),
            reasoning=_text(delta.get("reasoning_content")) or _text(delta.get("reasoning")),
            tool_calls=[_tool_piece(piece) for piece in delta.get("tool_calls") or ()],
            finish=_finish(choice.get("finish_reason")),
        )


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("text expected")
    return value


def _tool_piece(piece: dict[str, Any]) -> tuple[int, str, str, str]:
    function = piece.get("function") or {}
    index = int(piece.get("index") or 0)
    return index, _text(piece.get("id")), _text(function.get("name")), _text(function.get("arguments"))


def _finish(reason: str | None) -> str | None:
    if reason is None:
        return None
    known = {"stop", "length", "tool_calls", "content_filter"}
    return reason if reason in known else {"function_call": "tool_calls"}.get(reason, "stop")


def _usage(usage: dict[str, Any]) -> MessageDelta:
    details = usage.get("prompt_tokens_details") or {}
    return MessageDelta(
        has_usage=True,
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
        cached_tokens=int(details.get("cached_tokens") or 0),
    )
