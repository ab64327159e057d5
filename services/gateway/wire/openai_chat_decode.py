"""The body of `POST /v1/chat/completions`, decoded once, checked, as a neutral request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from services.gateway.domain.turns import ChatRequest, Principal, SessionClaim, Turn
from services.gateway.wire.constraints import HEADERS as CONSTRAINT_HEADERS
from services.gateway.wire.constraints import constraints_of
from services.gateway.wire.limits import Limits
from services.gateway.wire.metadata import metadata_of
from services.gateway.wire.openai_chat_types import NULL, ChatBody, Conversation, StrictChatBody
from services.gateway.wire.openai_messages import turns_of
from services.gateway.wire.openai_sampling import SamplingDecoder
from services.gateway.wire.openai_tools import ToolsDecoder, choice_of, guided_of
from services.gateway.wire.openai_unhonoured import ignored_fields
from services.gateway.wire.refusals import from_msgspec, invalid
from services.gateway.wire.session_claims import HEADERS as SESSION_HEADERS
from services.gateway.wire.session_claims import claim_of

HEADERS = SESSION_HEADERS | CONSTRAINT_HEADERS
_KNOWN = ChatBody.__struct_fields__
_NAME_CHARS_MAX = 512
_Bad = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A decoded call: the request, and how the client wants the answer."""

    request: ChatRequest
    stream: bool
    include_usage: bool


class ChatDecoder:
    """Decodes chat bodies; one object for all calls of the process."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._tools = ToolsDecoder(limits.tools_max)
        self._sampling = SamplingDecoder(limits)
        self._strict = msgspec.json.Decoder(StrictChatBody)
        self._lenient = msgspec.json.Decoder(ChatBody)

    def decode(self, raw: bytes, headers: Mapping[str, str], principal: Principal) -> ChatCall:
        """The call; `headers` are those of HEADERS that came, lower case. Raises PlatformError, always a 400."""
        body, ignored = self._body(raw)
        turns = turns_of(body.messages, self._limits)
        tools = self._tools.decode(bytes(body.tools)) if body.tools is not NULL else ()
        request = ChatRequest(
            model=_bounded_text("model", body.model, required=True),
            turns=turns,
            sampling=self._sampling.decode(body),
            tools=tools,
            tool_choice=choice_of(body.tool_choice, parallel=body.parallel_tool_calls, tools=tools),
            guided=guided_of(body.response_format),
            session=_session(body, headers, principal.tenant, turns),
            user=_bounded_text("user", body.safety_identifier or body.user or ""),
            metadata=metadata_of(body.metadata) if body.metadata else {},
            ignored_fields=ignored,
            streamed=bool(body.stream),
            constraints=constraints_of(headers, body.headrace),
        )
        options = body.stream_options
        if options is not None and not body.stream:
            raise invalid("stream_options", "'stream_options' needs 'stream': true.")
        return ChatCall(request, bool(body.stream), bool(options is not None and options.include_usage))

    def _body(self, raw: bytes) -> tuple[ChatBody, tuple[str, ...]]:
        try:
            return self._strict.decode(raw), ()
        except _Bad:
            pass
        try:
            ignored = ignored_fields(raw, _KNOWN)
            return self._lenient.decode(raw), ignored
        except _Bad as problem:
            raise from_msgspec(problem) from problem


def _session(body: ChatBody, headers: Mapping[str, str], tenant: str, turns: tuple[Turn, ...]) -> SessionClaim:
    return claim_of(
        headers,
        session_id=body.session_id,
        later=_later_ids(body),
        root=body.root_session_id,
        prompt_cache_key=body.prompt_cache_key,
        tenant=tenant,
        turns=turns,
    )


def _later_ids(body: ChatBody) -> Iterable[tuple[str, str | None]]:
    if body.conversation:
        named = body.conversation
        yield "conversation", named.id if isinstance(named, Conversation) else named
    yield "previous_response_id", body.previous_response_id
    if body.metadata:
        session = body.metadata.get("session_id")
        yield "metadata", session if isinstance(session, str) else None


def _bounded_text(param: str, text: str, *, required: bool = False) -> str:
    if required and not text:
        raise invalid(param, f"'{param}' must not be empty.")
    if len(text) > _NAME_CHARS_MAX:
        raise invalid(param, f"'{param}' has {len(text)} characters; at most {_NAME_CHARS_MAX} are taken.")
    return text
