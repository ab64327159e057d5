"""Pipeline events as server-sent events of a streamed chat answer.

What never changes in a chunk is rendered once per call; a plain delta costs one JSON string and one join.
Rules that clients break on: role in the first delta of each choice; `finish_reason: null` in every chunk; the finish
chunk on its own; usage only when asked for, with no choices; `[DONE]` last; after an error neither finish nor `[DONE]`.
"""

from __future__ import annotations

from typing import Any

from headrace.inference.v1.inference_pb2 import CHANNEL_REASONING, GenerateResponse, ToolCallDelta

from libs.errors import PlatformError
from services.gateway.events import Delta, Ended, Event
from services.gateway.wire.json_text import encode
from services.gateway.wire.openai_errors import error_body
from services.gateway.wire.openai_logprobs import logprobs_content
from services.gateway.wire.openai_usage import FINISH, report_of, usage_of

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"


def error_event(problem: PlatformError) -> bytes:
    """The event that ends a stream which cannot be finished."""
    return b"data: " + error_body(problem) + b"\n\n"


class ChatStream:
    """Renders one streamed answer."""

    __slots__ = ("_content", "_head", "_ignored", "_include_usage", "_more", "_tail", "_top", "_usage_null")

    def __init__(
        self,
        request_id: str,
        model: str,
        created: int,
        *,
        include_usage: bool = False,
        top_logprobs: int = 0,
        ignored_fields: tuple[str, ...] = (),
        content_only: bool = False,
    ) -> None:
        """`content_only`: neither tool calls nor logprobs can come."""
        self._more = not content_only
        self._head = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":[' % (
            encode(request_id),
            created,
            encode(model),
        )
        self._usage_null = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._tail = b'},"logprobs":null,"finish_reason":null}]' + self._usage_null
        self._include_usage = include_usage
        self._top = top_logprobs
        self._ignored = ignored_fields
        # Head of a plain content chunk, by choice; a choice is in here once its role was sent.
        self._content: dict[int, bytes] = {}

    def render(self, events: list[Event]) -> bytes:
        """The bytes of everything that is ready, for one write; may be empty."""
        out: list[bytes] = []
        for event in events:
            if type(event) is Delta:
                self._delta(event.response, out)
            elif type(event) is Ended:
                self._ended(event, out)
        return b"".join(out)

    def plain(self, response: GenerateResponse, text: str) -> bytes | None:
        """The chunk of a delta that is content alone, of a choice whose role was sent; None when there is more to it.

        Empty while the worker holds text back. The caller has seen to it that the delta finishes nothing.
        """
        head = self._content.get(response.choice)
        if head is None or response.channel == CHANNEL_REASONING:
            return None
        if self._more and (response.tool_calls or response.logprobs):
            return None
        return b"%b%b%b" % (head, encode(text), self._tail) if text else b""

    def _delta(self, response: GenerateResponse, out: list[bytes]) -> None:
        head = self._content.get(response.choice)
        if head is None or response.tool_calls or response.logprobs or response.channel == CHANNEL_REASONING:
            self._unusual(response, out)
        elif response.text:
            out += (head, encode(response.text), self._tail)
        if response.finish:
            self._finish(response, out)

    def _unusual(self, response: GenerateResponse, out: list[bytes]) -> None:
        """A first delta of a choice, or one with more in it than content."""
        choice = response.choice
        delta: dict[str, Any] = {}
        if choice not in self._content:
            if not (response.text or response.tool_calls or response.logprobs or response.finish):
                return
            self._content[choice] = self._head + b'{"index":%d,"delta":{"content":' % choice
            delta = {"role": "assistant", "content": None if response.tool_calls else ""}
        if response.text:
            delta["reasoning_content" if response.channel == CHANNEL_REASONING else "content"] = response.text
        if response.tool_calls:
            delta["tool_calls"] = [_tool_call(piece) for piece in response.tool_calls]
        if response.logprobs:
            delta.setdefault("content", "")
        if delta:
            out.append(self._chunk(choice, delta, response))

    def _chunk(self, choice: int, delta: dict[str, Any], response: GenerateResponse) -> bytes:
        logprobs = None
        if response.logprobs:
            logprobs = {"content": logprobs_content(response.logprobs, self._top), "refusal": None}
        body = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": None}
        return self._head + encode(body) + b"]" + self._usage_null

    def _finish(self, response: GenerateResponse, out: list[bytes]) -> None:
        reason = FINISH.get(response.finish, "stop")
        body = b'{"index":%d,"delta":{},"logprobs":null,"finish_reason":%b}]' % (response.choice, encode(reason))
        out += (self._head, body, self._usage_null)

    def _ended(self, ended: Ended, out: list[bytes]) -> None:
        if self._include_usage:
            usage, report = encode(usage_of(ended)), encode(report_of(ended, self._ignored))
            out += (self._head, b'],"usage":', usage, b',"headrace":', report, b"}\n\n")
        out.append(DONE)


def _tool_call(piece: ToolCallDelta) -> dict[str, Any]:
    """The first piece of a call has its id, type and name; later ones only arguments."""
    if piece.id or piece.name:
        function = {"name": piece.name, "arguments": piece.arguments}
        return {"index": piece.index, "id": piece.id, "type": "function", "function": function}
    return {"index": piece.index, "function": {"arguments": piece.arguments}}
