"""Bodies of OpenAI's chat completions API as msgspec structs: the fields that are known here, and no others.

Every field may be null, which means "not given". Fields that nobody here knows are found by `StrictChatBody`, which
refuses them: the usual request has none and is decoded once.
Source: https://platform.openai.com/docs/api-reference/chat/create, and vLLM's extra sampling parameters.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct, field

# A raw field that was not given; msgspec knows no union with Raw.
NULL = Raw(b"null")


class Part(Struct):
    """One part of a message's content; only "text" and "refusal" parts are text."""

    type: str
    text: str | None = None
    refusal: str | None = None


class FunctionCall(Struct):
    """The function of a tool call as a client sends it back."""

    name: str
    arguments: str | None = None


class MessageToolCall(Struct):
    """A tool call in an assistant message."""

    id: str
    function: FunctionCall | None = None
    type: str = "function"


class Message(Struct):
    """A message of any role."""

    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[MessageToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    function_call: Any = None


class FunctionSpec(Struct):
    """A function on offer."""

    name: str
    description: str | None = None
    parameters: Any = None
    strict: bool | None = None


class ToolSpec(Struct):
    """A tool on offer; only the type "function" is known."""

    type: str = "function"
    function: FunctionSpec | None = None


class FunctionName(Struct):
    """Names a function."""

    name: str


class NamedToolChoice(Struct):
    """A tool choice that is an object."""

    type: str = "function"
    function: FunctionName | None = None


class JsonSchemaFormat(Struct):
    """`response_format.json_schema`; the field `schema` is checked to be an object later."""

    name: str | None = None
    schema: Any = None
    strict: bool | None = None


class ResponseFormat(Struct):
    """`response_format`."""

    type: str
    json_schema: JsonSchemaFormat | None = None


class StreamOptions(Struct):
    """`stream_options`; obfuscation is padding against traffic analysis and is not offered."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Conversation(Struct):
    """`conversation` as an object."""

    id: str


class Extension(Struct, forbid_unknown_fields=True):
    """`headrace`, ours: what the call may cost at most, in dollars, and the least tier that may answer it."""

    max_cost: str | float | None = None
    min_tier: str | None = None


class ChatBody(Struct):
    """The body of `POST /v1/chat/completions`."""

    messages: list[Message]
    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    # Sampling, from here to ignore_eos: SamplingDecoder reads these fields as one slice.
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    min_tokens: int | None = None
    ignore_eos: bool | None = None
    # Tools and structured answers. Tools stay raw: agents send the same ones with every call, so they are cached.
    tools: Raw = field(default_factory=lambda: NULL)
    tool_choice: str | NamedToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    # Who and where.
    user: str | None = None
    safety_identifier: str | None = None
    # OpenAI has text only; "tags" as LiteLLM's callers have it is a list.
    metadata: dict[str, str | list[str]] | None = None
    prompt_cache_key: str | None = None
    session_id: str | None = None
    root_session_id: str | None = None
    conversation: str | Conversation | None = None
    previous_response_id: str | None = None
    headrace: Extension | None = None


class StrictChatBody(ChatBody, forbid_unknown_fields=True):
    """A body without unknown fields."""
