"""Wire types to domain types and back. Requests are rebuilt field by field: what is not named here is not passed on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from headrace.common.v1 import turns_pb2 as common_pb
from headrace.inference.v1 import inference_pb2 as pb

from libs.chat_template import unpack
from libs.errors import PlatformError, Reason
from libs.rpc.varint import varint
from services.inference.domain.model import Capabilities, Capacity, ModelCard, PrefixStability, ResumeForm
from services.inference.domain.output.delta import Delta, Usage
from services.inference.domain.output.tokens import TokenLogprobs
from services.inference.domain.request import (
    Common,
    Guided,
    MessagesWork,
    ResumeChoice,
    Sampling,
    TokenWork,
    Tool,
    ToolChoice,
)
from services.inference.domain.sent import Sent

_FINISHES = {
    "stop": pb.FINISH_REASON_STOP,
    "length": pb.FINISH_REASON_LENGTH,
    "tool_calls": pb.FINISH_REASON_TOOL_CALLS,
    "content_filter": pb.FINISH_REASON_CONTENT_FILTER,
}
_TOOL_MODES = {
    common_pb.TOOL_MODE_UNSPECIFIED: "none",
    common_pb.TOOL_MODE_NONE: "none",
    common_pb.TOOL_MODE_AUTO: "auto",
    common_pb.TOOL_MODE_REQUIRED: "required",
    common_pb.TOOL_MODE_NAMED: "named",
}
_NO_TOOLS = ToolChoice(parallel=False)
_ROLES = {
    common_pb.ROLE_SYSTEM: "system",
    common_pb.ROLE_USER: "user",
    common_pb.ROLE_ASSISTANT: "assistant",
    common_pb.ROLE_TOOL: "tool",
}
_RESUMES = {
    ResumeForm.NONE: pb.RESUME_FORM_NONE,
    ResumeForm.TEXT: pb.RESUME_FORM_TEXT,
    ResumeForm.EXACT: pb.RESUME_FORM_EXACT,
}
_STABILITIES = {
    PrefixStability.NONE: pb.PREFIX_STABILITY_NONE,
    PrefixStability.INPUT: pb.PREFIX_STABILITY_INPUT,
    PrefixStability.FULL: pb.PREFIX_STABILITY_FULL,
}


def _tag(field: str) -> bytes:
    """What stands before a field of GenerateResponse: its number, and the wire type of integers or of bytes."""
    found = pb.GenerateResponse.DESCRIPTOR.fields_by_name[field]
    packed_or_text = field in {"token_ids", "text"}
    return varint(found.number << 3 | (2 if packed_or_text else 0))


_FIRST_INDEX, _TOKEN_IDS, _TEXT = _tag("first_index"), _tag("token_ids"), _tag("text")
# The same with the length that follows, for those that a plain delta of one token has.
_SHORT = 128
_TOKEN_IDS_OF = [_TOKEN_IDS + varint(length) for length in range(_SHORT)]
_TEXT_OF = [_TEXT + varint(length) for length in range(_SHORT)]


def token_work(request: pb.GenerateRequest) -> TokenWork:
    """Work for a token engine. Raises PlatformError(INVALID_REQUEST) when the prompt is not tokens."""
    if request.WhichOneof("prompt") != "tokens":
        raise _invalid("this worker takes prompts as token ids: render the turns with its tokenizer", "prompt")
    return TokenWork(
        _common(request),
        _prompt(request.tokens),
        request.cache_salt,
        _resume(request.resume) if request.HasField("resume") else (),
    )


def _resume(resume: pb.Resume) -> tuple[ResumeChoice, ...]:
    return tuple(
        ResumeChoice(c.choice, tuple(c.token_ids), c.text_sent, c.reasoning_sent, c.finished, c.max_tokens)
        for c in resume.choices
    )


def messages_work(request: pb.GenerateRequest) -> MessagesWork:
    """Work for a message engine. Raises PlatformError(INVALID_REQUEST) when the prompt is not turns."""
    if request.WhichOneof("prompt") != "messages" or not request.messages.turns:
        raise _invalid("this worker takes prompts as messages, and there must be one", "prompt")
    if request.resume.choices:
        raise PlatformError(
            Reason.UNSUPPORTED_PARAMETER, "streams of this model cannot be resumed", started=False, param="resume"
        )
    return MessagesWork(_common(request), messages(request.messages.turns))


def messages(turns: Iterable[common_pb.Turn]) -> list[dict[str, Any]]:
    """Turns in OpenAI's message form. Raises PlatformError(INVALID_REQUEST) for a turn without a role."""
    return [_message(turn) for turn in turns]


def tools_of(tools: Iterable[common_pb.Tool]) -> tuple[Tool, ...]:
    """Tools on offer."""
    return tuple([Tool(t.name, t.description, t.parameters_json, t.strict) for t in tools])


class PlainDeltas:
    """The deltas of one call that have tokens and text and nothing else, as the bytes of their GenerateResponse.

    Most deltas are of this kind. What protobuf would write is written here at a third of the price: the fields that
    never change are encoded once per choice.
    """

    __slots__ = ("_epoch", "_heads")

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._heads: dict[int, bytes] = {}

    def encode(self, choice: int, first_index: int, token_ids: Sequence[int], text: str) -> bytes:
        """The bytes of a GenerateResponse with these fields and the call's epoch."""
        if not (first_index and token_ids and text):  # fields that are zero are not written: left to protobuf
            return pb.GenerateResponse(
                choice=choice, epoch=self._epoch, first_index=first_index, token_ids=token_ids, text=text
            ).SerializeToString()
        head = self._heads.get(choice)
        if head is None:
            fixed = pb.GenerateResponse(choice=choice, epoch=self._epoch).SerializeToString()
            head = self._heads[choice] = fixed + _FIRST_INDEX
        tokens = varint(token_ids[0]) if len(token_ids) == 1 else b"".join(map(varint, token_ids))
        raw = text.encode()
        if len(tokens) < _SHORT and len(raw) < _SHORT:
            parts = (head, varint(first_index), _TOKEN_IDS_OF[len(tokens)], tokens, _TEXT_OF[len(raw)], raw)
            return b"".join(parts)
        lengths = _TOKEN_IDS + varint(len(tokens)), _TEXT + varint(len(raw))
        return b"".join((head, varint(first_index), lengths[0], tokens, lengths[1], raw))


def response(delta: Delta, epoch: int) -> pb.GenerateResponse:
    """A delta on the wire."""
    out = pb.GenerateResponse(
        choice=delta.choice,
        epoch=epoch,
        first_index=delta.first_index,
        token_ids=delta.token_ids,
        text=delta.text,
        finish=None if delta.finish is None else _FINISHES[delta.finish],
        stop_reason=delta.stop_reason,
        usage=None if delta.usage is None else _usage(delta.usage),
    )
    if delta.is_reasoning:
        out.channel = pb.CHANNEL_REASONING
    if delta.tool_calls:
        out.tool_calls.extend(
            pb.ToolCallDelta(index=p.index, id=p.id, name=p.name, arguments=p.arguments) for p in delta.tool_calls
        )
    if delta.logprobs:
        _add_logprobs(out, delta.logprobs, delta.first_index)
    return out


def describe(card: ModelCard, can: Capabilities, capacity: Capacity) -> pb.DescribeModelResponse:
    """DescribeModel's answer."""
    return pb.DescribeModelResponse(
        worker=card.worker,
        boot_id=card.boot_id,
        model=card.model,
        pools=card.pools,
        model_digest=card.model_digest,
        tokenizer_digest=card.tokenizer_digest,
        window_tokens=card.window_tokens,
        capabilities=_capabilities(can),
        capacity=pb.Capacity(
            block_tokens=capacity.block_tokens,
            blocks=capacity.blocks,
            running_max=capacity.running_max,
            waiting_max=capacity.waiting_max,
            sessions=capacity.sessions,
            kv_bytes_per_token=capacity.kv_bytes_per_token,
        ),
        prefix_stability=_STABILITIES[card.prefix_stability],
        adapters=card.adapters,
        engine=card.engine,
        template_tools=card.template_tools,
    )


def sent(request_id: str, of: Sent) -> pb.Sent:
    """CountSent's account of one request."""
    return pb.Sent(
        request_id=request_id,
        prompt_tokens=of.prompt_tokens,
        cached_tokens=of.cached_tokens,
        choice_tokens=of.choice_tokens,
        running=of.running,
        epoch=of.epoch,
        estimated=of.estimated,
    )


def _capabilities(can: Capabilities) -> pb.Capabilities:
    return pb.Capabilities(
        prompt=pb.PROMPT_FORM_TOKENS if can.tokens_in else pb.PROMPT_FORM_MESSAGES,
        guided=can.guided,
        logprobs_max=can.logprobs_max,
        n=can.n,
        seed=can.seed,
        lora=can.lora,
        kv_events=can.kv_events,
        cache_salt=can.cache_salt,
        resume=_RESUMES[can.resume],
        resume_guided=can.resume_guided,
        resume_penalties=can.resume_penalties,
        tools=can.tools,
        reasoning=can.reasoning,
        penalties=can.penalties,
        logit_bias=can.logit_bias,
    )


def _common(request: pb.GenerateRequest) -> Common:
    request_id = request.request_id
    if not request_id:
        raise _invalid("request_id is missing: give every attempt its own", "request_id")
    return Common(
        request_id=request_id,
        sampling=_sampling(request.sampling.SerializeToString(deterministic=True)),
        guided=_guided(request.guided) if request.HasField("guided") else None,
        tools=tools_of(request.tools),
        tool_choice=_tool_choice(request.tool_choice) if request.HasField("tool_choice") else _NO_TOOLS,
        adapter=request.adapter,
        session=request.session,
        call_seed=request.call_seed or request_id,
        epoch=request.epoch,
        parse_reasoning=request.parse_reasoning,
    )


def _prompt(prompt: pb.TokenPrompt) -> list[int]:
    if not prompt.packed:
        return list(prompt.ids)
    try:
        return unpack(prompt.packed)
    except ValueError as error:
        raise _invalid("tokens.packed must hold four bytes per token", "prompt") from error


@lru_cache(maxsize=256)
def _sampling(serialized: bytes) -> Sampling:
    """Sampling of its message. Clients repeat a few of them, and seventeen fields cost more than the look-up."""
    given = pb.Sampling.FromString(serialized)
    return Sampling(
        max_tokens=given.max_tokens,
        temperature=given.temperature if given.HasField("temperature") else None,
        top_p=given.top_p if given.HasField("top_p") else None,
        top_k=given.top_k if given.HasField("top_k") else None,
        min_p=given.min_p if given.HasField("min_p") else None,
        seed=given.seed if given.HasField("seed") else None,
        stop=tuple(given.stop),
        stop_token_ids=tuple(given.stop_token_ids),
        presence_penalty=given.presence_penalty,
        frequency_penalty=given.frequency_penalty,
        repetition_penalty=given.repetition_penalty if given.HasField("repetition_penalty") else None,
        logit_bias=dict(given.logit_bias),
        logprobs=given.logprobs if given.HasField("logprobs") else None,
        n=given.n or 1,
        min_tokens=given.min_tokens,
        ignore_eos=given.ignore_eos,
    )


def _guided(given: pb.Guided) -> Guided | None:
    kind = given.WhichOneof("grammar")
    if kind == "json_schema":
        return Guided(json_schema=given.json_schema)
    if kind == "regex":
        return Guided(regex=given.regex)
    return Guided(json_object=True) if kind == "json_object" and given.json_object else None


def _tool_choice(given: common_pb.ToolChoice) -> ToolChoice:
    return ToolChoice(_TOOL_MODES.get(given.mode, "none"), given.name, given.parallel)


def _message(turn: common_pb.Turn) -> dict[str, Any]:
    if turn.role not in _ROLES:
        raise _invalid("a turn has no role", "messages")
    message: dict[str, Any] = {"role": _ROLES[turn.role], "content": turn.text}
    optional = {"name": turn.name, "tool_call_id": turn.tool_call_id, "reasoning_content": turn.reasoning}
    message |= {key: value for key, value in optional.items() if value}
    if turn.tool_calls:
        message["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments_json}}
            for c in turn.tool_calls
        ]
    return message


def _add_logprobs(out: pb.GenerateResponse, logprobs: Sequence[TokenLogprobs], first_index: int) -> None:
    for index, entry in enumerate(logprobs, start=first_index):
        added = out.logprobs.add(index=index)
        for token_id, token, logprob in entry.top:
            added.top.add(token_id=token_id, token=token, logprob=logprob)


def _usage(usage: Usage) -> pb.Usage:
    return pb.Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        queue_ms=usage.queue_ms,
        first_token_ms=usage.first_token_ms,
        estimated=usage.estimated,
    )


def _invalid(message: str, param: str) -> PlatformError:
    return PlatformError(Reason.INVALID_REQUEST, message, started=False, param=param)
