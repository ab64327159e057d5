"""Messages of a chat body as neutral turns."""

from __future__ import annotations

from libs.errors import PlatformError, Reason
from services.gateway.domain.turns import Role, ToolCall, Turn
from services.gateway.wire.limits import Limits
from services.gateway.wire.openai_chat_types import Message, MessageToolCall, Part
from services.gateway.wire.refusals import invalid, unsupported

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
}


def turns_of(messages: list[Message], limits: Limits) -> tuple[Turn, ...]:
    """One turn per message, in order; raises PlatformError with the message's path as `param`."""
    if not messages:
        raise invalid("messages", "'messages' must hold at least one message.")
    if len(messages) > limits.messages_max:
        raise invalid(
            "messages", f"'messages' holds {len(messages)} messages; at most {limits.messages_max} are taken."
        )
    return tuple([_turn(message, at) for at, message in enumerate(messages)])


def _turn(message: Message, at: int) -> Turn:
    role = _ROLES.get(message.role)
    if role is None:
        raise _bad_role(message, at)
    content = message.content
    text = content if isinstance(content, str) else _text(content, at)
    if role is Role.USER or role is Role.SYSTEM:
        return Turn(role, text, name=message.name or "")
    if role is Role.TOOL:
        return _tool_turn(message, text, at)
    return _assistant_turn(message, text, at)


def _bad_role(message: Message, at: int) -> PlatformError:
    param = f"messages[{at}].role"
    if message.role == "function":
        return unsupported(param, "The role 'function' is not supported; use 'tool' with a 'tool_call_id'.")
    return invalid(param, f"'{param}' must be one of {', '.join(_ROLES)}.")


def _tool_turn(message: Message, text: str, at: int) -> Turn:
    if not message.tool_call_id:
        raise invalid(
            f"messages[{at}].tool_call_id", "A tool message needs the 'tool_call_id' of the call it is the result of."
        )
    return Turn(Role.TOOL, text, tool_call_id=message.tool_call_id, name=message.name or "")


def _assistant_turn(message: Message, text: str, at: int) -> Turn:
    if message.function_call is not None:
        raise unsupported(
            f"messages[{at}].function_call", "'function_call' is not supported; use 'tool_calls' instead."
        )
    return Turn(
        Role.ASSISTANT,
        text or message.refusal or "",
        reasoning=message.reasoning_content or message.reasoning or "",
        tool_calls=tuple([_call(c, f"messages[{at}].tool_calls[{i}]") for i, c in enumerate(message.tool_calls or ())]),
        name=message.name or "",
    )


def _call(call: MessageToolCall, param: str) -> ToolCall:
    if call.type != "function":
        raise unsupported(f"{param}.type", "Only tool calls of the type 'function' are supported.")
    if call.function is None or not call.function.name:
        raise invalid(f"{param}.function", "A tool call needs a function with a name.")
    return ToolCall(call.id, call.function.name, call.function.arguments or "{}")


def _text(parts: list[Part] | None, at: int) -> str:
    """Parts joined by line feeds, as vLLM joins them for templates that take strings."""
    if not parts:
        return ""
    return "\n".join([_part(part, f"messages[{at}].content[{i}]") for i, part in enumerate(parts)])


def _part(part: Part, param: str) -> str:
    if part.type == "text":
        if part.text is None:
            raise invalid(f"{param}.text", "A text part needs 'text'.")
        return part.text
    if part.type == "refusal":
        return part.refusal or ""
    raise PlatformError(
        Reason.UNSUPPORTED_CONTENT,
        f"Content of the type '{part.type[:40]}' is not supported: the models served here take text.",
        started=False,
        param=param,
    )
