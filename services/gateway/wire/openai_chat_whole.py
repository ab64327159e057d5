"""Pipeline events collected into one `chat.completion` body."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headrace.inference.v1.inference_pb2 import CHANNEL_REASONING, GenerateResponse

from services.gateway.events import Delta, Ended, Event
from services.gateway.wire.json_text import encode
from services.gateway.wire.openai_errors import cut_short
from services.gateway.wire.openai_logprobs import logprobs_content
from services.gateway.wire.openai_usage import FINISH, report_of, usage_of


@dataclass(slots=True)
class _ToolCall:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Choice:
    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tool_calls: dict[int, _ToolCall] = field(default_factory=dict)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    finish: str = "stop"


class ChatWhole:
    """Collects one answer that is not streamed."""

    __slots__ = ("_choices", "_ended", "_logprobs", "_n")

    def __init__(self, *, n: int = 1, logprobs: int | None = None) -> None:
        self._n = n
        self._logprobs = logprobs
        self._choices = {index: _Choice() for index in range(n)}
        self._ended: Ended | None = None

    def add(self, events: list[Event]) -> None:
        """Takes what is ready."""
        for event in events:
            if type(event) is Delta:
                self._delta(event.response)
            elif type(event) is Ended:
                self._ended = event

    def body(self, request_id: str, model: str, created: int, ignored_fields: tuple[str, ...]) -> bytes:
        """The JSON body; raises PlatformError when the answer never ended."""
        if self._ended is None:
            raise cut_short()
        return encode(
            {
                "id": request_id,
                "object": "chat.completion",
                "created": created,
                "model": model,
                "choices": [self._choice(index) for index in sorted(self._choices)],
                "usage": usage_of(self._ended),
                "system_fingerprint": None,
                "headrace": report_of(self._ended, ignored_fields),
            }
        )

    def _delta(self, response: GenerateResponse) -> None:
        choice = self._choices.setdefault(response.choice, _Choice())
        if response.text:
            (choice.reasoning if response.channel == CHANNEL_REASONING else choice.content).append(response.text)
        for piece in response.tool_calls:
            call = choice.tool_calls.setdefault(piece.index, _ToolCall())
            call.id = call.id or piece.id
            call.name = call.name or piece.name
            call.arguments.append(piece.arguments)
        if response.logprobs and self._logprobs is not None:
            choice.logprobs += logprobs_content(response.logprobs, self._logprobs)
        if response.finish:
            choice.finish = FINISH.get(response.finish, "stop")

    def _choice(self, index: int) -> dict[str, Any]:
        choice = self._choices[index]
        logprobs = None if self._logprobs is None else {"content": choice.logprobs, "refusal": None}
        return {"index": index, "message": _message(choice), "logprobs": logprobs, "finish_reason": choice.finish}


def _message(choice: _Choice) -> dict[str, Any]:
    content = "".join(choice.content)
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    if choice.tool_calls:
        message["content"] = content or None
        message["tool_calls"] = [_tool_call(call) for _, call in sorted(choice.tool_calls.items())]
    return message


def _tool_call(call: _ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": "".join(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}
