"""Brings messages into the one form that templates can rely on. Pure functions on OpenAI's message form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from libs.errors import PlatformError, Reason

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
Message = dict[str, Any]


def normalise(messages: Iterable[Mapping[str, Any]]) -> list[Message]:
    """New messages: content is text (null is "", parts are joined by line feeds), arguments are objects.

    Raises PlatformError(UNSUPPORTED_CONTENT) for parts that are no text, INVALID_REQUEST for an unknown role.
    """
    return [_message(m) for m in messages]


def _message(message: Mapping[str, Any]) -> Message:
    if message.get("role") not in ROLES:
        raise PlatformError(
            Reason.INVALID_REQUEST, f"a message's role must be one of {sorted(ROLES)}", started=False, param="messages"
        )
    out = {key: value for key, value in message.items() if value is not None}
    out["content"] = text_of(message.get("content"))
    if out.get("tool_calls"):
        out["tool_calls"] = [_tool_call(call) for call in out["tool_calls"]]
    else:
        out.pop("tool_calls", None)
    return out


def text_of(content: Any) -> str:
    """Text of a message's content."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "\n".join(_part(part) for part in content)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise PlatformError(
        Reason.UNSUPPORTED_CONTENT, "message content may hold text parts only", started=False, param="messages"
    )


def _tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call["function"])
    function["arguments"] = arguments_of(function.get("arguments"))
    return {**call, "function": function}


def arguments_of(arguments: Any) -> Any:
    """A call's arguments as an object, which templates write as JSON; text that is no JSON stays text."""
    if not isinstance(arguments, str):
        return arguments if arguments is not None else {}
    try:
        return msgspec.json.decode(arguments) if arguments else {}
    except msgspec.DecodeError:
        return arguments
