"""Tools for templates that ignore them, in the Hermes form (NousResearch/Hermes-Function-Calling).

Tools are stated at the end of the first system message; the assistant's calls are `<tool_call>{…}</tool_call>` in its
text; results come back in a user message as `<tool_response>{…}</tool_response>`, because such templates know no tool
role. Neighbouring results share one message, so that user and assistant keep alternating.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from libs.chat_template.messages import Message
from libs.chat_template.sandbox import to_json

_INTRODUCTION = """You may call one or more functions to help with the user's request. \
The functions you can call are described in <tools></tools>:
<tools>
{tools}
</tools>
To call a function, answer with its name and arguments as a JSON object within <tool_call></tool_call>:
<tool_call>
{{"name": <function name>, "arguments": <arguments object>}}
</tool_call>"""


def with_tools_as_text(messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> list[Message]:
    """Messages of plain text that state `tools` and hold calls and results; unchanged where there are none."""
    out: list[Message] = []
    for message in messages:
        if message["role"] == "tool":
            _append_result(out, message)
        elif "tool_calls" in message:
            out.append(_calls_as_text(message))
        else:
            out.append(message)
    return _with_introduction(out, tools) if tools else out


def _with_introduction(messages: list[Message], tools: Sequence[dict[str, Any]]) -> list[Message]:
    stated = _INTRODUCTION.format(tools="\n".join(map(to_json, tools)))
    if messages and messages[0]["role"] in {"system", "developer"}:
        first = {**messages[0], "content": f"{messages[0]['content']}\n\n{stated}".lstrip("\n")}
        return [first, *messages[1:]]
    return [{"role": "system", "content": stated}, *messages]


def _calls_as_text(message: Message) -> Message:
    functions = [call["function"] for call in message["tool_calls"]]
    calls = [to_json({"name": f["name"], "arguments": f["arguments"]}) for f in functions]
    text = "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in calls)
    kept = {key: value for key, value in message.items() if key != "tool_calls"}
    return {**kept, "content": f"{message['content']}\n{text}".lstrip("\n")}


def _append_result(out: list[Message], message: Message) -> None:
    text = f"<tool_response>\n{message['content']}\n</tool_response>"
    if out and out[-1].get("is_results"):
        out[-1] = {**out[-1], "content": f"{out[-1]['content']}\n{text}"}
    else:
        out.append({"role": "user", "content": text, "is_results": True})
