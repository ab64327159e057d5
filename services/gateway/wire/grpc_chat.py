"""`headrace.gateway.v1` messages to neutral requests, and events to its responses. The rules are those of REST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from headrace.common.v1 import turns_pb2
from headrace.gateway.v1.chat_pb2 import ChatReport, ChatResponse
from headrace.gateway.v1.chat_pb2 import ChatRequest as ChatMessage
from headrace.inference.v1.inference_pb2 import GenerateResponse, Usage
from headrace.inference.v1.inference_pb2 import Guided as GuidedMessage
from headrace.inference.v1.inference_pb2 import Sampling as SamplingMessage

from libs.errors import PlatformError, Reason
from services.gateway.domain.turns import (
    ChatRequest,
    Guided,
    Principal,
    Role,
    Sampling,
    SessionClaim,
    Tool,
    ToolCall,
    ToolChoice,
    Turn,
)
from services.gateway.events import Delta, Ended, Event
from services.gateway.wire.constraints import constraints_of
from services.gateway.wire.limits import Limits
from services.gateway.wire.metadata import metadata_of
from services.gateway.wire.openai_chat_types import ChatBody, FunctionName, NamedToolChoice
from services.gateway.wire.openai_sampling import sampling_of
from services.gateway.wire.openai_tools import choice_of
from services.gateway.wire.refusals import invalid, unsupported
from services.gateway.wire.session_claims import claim_of

_ROLES = {
    turns_pb2.ROLE_SYSTEM: Role.SYSTEM,
    turns_pb2.ROLE_USER: Role.USER,
    turns_pb2.ROLE_ASSISTANT: Role.ASSISTANT,
    turns_pb2.ROLE_TOOL: Role.TOOL,
}
_MODES = {turns_pb2.TOOL_MODE_NONE: "none", turns_pb2.TOOL_MODE_AUTO: "auto", turns_pb2.TOOL_MODE_REQUIRED: "required"}
# Optional fields of the proto that are fields of the body of the same name.
_OPTIONAL = ("temperature", "top_p", "top_k", "min_p", "seed", "repetition_penalty")


def request_of(message: ChatMessage, headers: Mapping[str, str], principal: Principal, limits: Limits) -> ChatRequest:
    """The neutral request; `headers` is the call's metadata. Raises PlatformError, always INVALID_ARGUMENT."""
    if not 0 < len(message.model) <= 512:
        raise invalid("model", "'model' must have 1 to 512 characters.")
    turns = _turns(message, limits)
    tools = _tools(message, limits)
    return ChatRequest(
        model=message.model,
        turns=turns,
        sampling=_sampling(message.sampling, limits),
        tools=tools,
        tool_choice=_choice(message, tools),
        guided=_guided(message.guided),
        session=_session(message, headers, principal.tenant, turns),
        user=message.user[:512],
        metadata=metadata_of(dict(message.metadata)),
        constraints=constraints_of(headers, None),
    )


def _turns(message: ChatMessage, limits: Limits) -> tuple[Turn, ...]:
    if not 0 < len(message.messages) <= limits.messages_max:
        raise invalid("messages", f"'messages' must hold 1 to {limits.messages_max} messages.")
    return tuple([_turn(turn, f"messages[{at}]") for at, turn in enumerate(message.messages)])


def _turn(turn: turns_pb2.Turn, param: str) -> Turn:
    role = _ROLES.get(turn.role)
    if role is None:
        raise invalid(f"{param}.role", f"'{param}.role' must be system, user, assistant or tool.")
    if role is Role.TOOL and not turn.tool_call_id:
        raise invalid(f"{param}.tool_call_id", "A tool message needs the 'tool_call_id' of the call it answers.")
    calls = tuple([ToolCall(call.id, call.name, call.arguments_json or "{}") for call in turn.tool_calls])
    return Turn(role, turn.text, turn.reasoning, calls, turn.tool_call_id, turn.name)


def _tools(message: ChatMessage, limits: Limits) -> tuple[Tool, ...]:
    if len(message.tools) > limits.tools_max:
        raise invalid("tools", f"'tools' may hold at most {limits.tools_max} tools.")
    tools = tuple([_tool(tool, f"tools[{at}]") for at, tool in enumerate(message.tools)])
    if len({tool.name for tool in tools}) < len(tools):
        raise invalid("tools", "Two tools have the same name.")
    return tools


def _tool(tool: turns_pb2.Tool, param: str) -> Tool:
    if not tool.name:
        raise invalid(f"{param}.name", "A tool needs a name.")
    if tool.parameters_json:
        _object(tool.parameters_json, f"{param}.parameters_json")
    return Tool(tool.name, tool.description, tool.parameters_json, tool.strict)


def _choice(message: ChatMessage, tools: tuple[Tool, ...]) -> ToolChoice:
    given = message.tool_choice
    parallel = given.parallel if message.HasField("tool_choice") else True
    if given.mode == turns_pb2.TOOL_MODE_NAMED:
        named = NamedToolChoice(function=FunctionName(given.name))
        return choice_of(named, parallel=parallel, tools=tools)
    return choice_of(_MODES.get(given.mode), parallel=parallel, tools=tools)


def _sampling(message: SamplingMessage, limits: Limits) -> Sampling:
    """By way of the REST body, so that every bound is stated once."""
    if message.stop_token_ids:
        raise unsupported("sampling.stop_token_ids", "'stop_token_ids' is not supported. Use 'stop' instead.")
    given: dict[str, Any] = {name: getattr(message, name) for name in _OPTIONAL if message.HasField(name)}
    body = ChatBody(
        [],
        "",
        max_tokens=message.max_tokens or None,
        stop=list(message.stop),
        n=message.n or None,
        presence_penalty=message.presence_penalty,
        frequency_penalty=message.frequency_penalty,
        logit_bias={str(token): bias for token, bias in message.logit_bias.items()},
        logprobs=message.HasField("logprobs"),
        top_logprobs=message.logprobs if message.HasField("logprobs") else None,
        min_tokens=message.min_tokens,
        ignore_eos=message.ignore_eos,
        **given,
    )
    return sampling_of(body, limits)


def _guided(message: GuidedMessage) -> Guided | None:
    grammar = message.WhichOneof("grammar")
    if grammar is None:
        return None
    if grammar == "regex":
        raise unsupported("guided.regex", "'regex' is not supported. Use 'json_schema' instead.")
    if grammar == "json_object":
        return Guided(json_object=True) if message.json_object else None
    _object(message.json_schema, "guided.json_schema")
    return Guided(json_schema=message.json_schema)


def _object(text: str, param: str) -> None:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise PlatformError(
            Reason.INVALID_SCHEMA, f"'{param}' must be a JSON Schema, which is an object.", started=False, param=param
        )


def _session(message: ChatMessage, headers: Mapping[str, str], tenant: str, turns: tuple[Turn, ...]) -> SessionClaim:
    return claim_of(
        headers,
        session_id=message.session_id,
        later=[("metadata", message.metadata.get("session_id"))],
        root=message.root_session_id,
        prompt_cache_key=message.prompt_cache_key,
        tenant=tenant,
        turns=turns,
    )


def responses_of(events: list[Event], request_id: str, model: str, *, replayed: bool = False) -> list[ChatResponse]:
    """One response per delta; the end is one of its own with usage and report."""
    out: list[ChatResponse] = []
    for event in events:
        if type(event) is Delta:
            out.append(_delta(event.response, request_id, model))
        elif type(event) is Ended:
            out.append(_ended(event, request_id, model, replayed=replayed))
    return out


def _delta(delta: GenerateResponse, request_id: str, model: str) -> ChatResponse:
    return ChatResponse(
        id=request_id,
        model=model,
        choice=delta.choice,
        text=delta.text,
        channel=delta.channel,
        tool_calls=delta.tool_calls,
        logprobs=delta.logprobs,
        finish=delta.finish,
    )


def _ended(ended: Ended, request_id: str, model: str, *, replayed: bool) -> ChatResponse:
    usage = Usage(
        prompt_tokens=ended.prompt_tokens,
        completion_tokens=ended.completion_tokens,
        cached_tokens=ended.cached_tokens,
        reasoning_tokens=ended.reasoning_tokens,
        first_token_ms=ended.first_token_ms,
        estimated=ended.estimated,
    )
    report = ChatReport(
        worker=ended.worker,
        session_id=ended.session_id,
        session_source=ended.session_source,
        attempts=ended.attempts,
        cached_tokens=ended.cached_tokens,
        first_token_ms=ended.first_token_ms,
        total_ms=ended.total_ms,
        resumed=ended.resumed,
        cost_nanodollars=ended.cost,
        truncated=ended.truncated,
        replayed=replayed,
        queued_ms=ended.queued_ms,
        route=ended.route,
        cached_answer=ended.cached_answer,
    )
    return ChatResponse(id=request_id, model=model, usage=usage, report=report)
