"""vLLM's tool-call and reasoning parsers behind the worker's OutputParser.

vLLM's parsers differ in when they emit what, and the text-based ones trust the model. Reasoning and tools are parsed
one after the other; calls pass a gate (whole and well-formed, or text); where a parser raises, the rest is content.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.parser.abstract_parser import Parser
from vllm.parser.parser_manager import ParserManager
from vllm.reasoning import ReasoningParserManager
from vllm.tool_parsers import ToolParserManager

from libs.errors import PlatformError, Reason
from libs.ids import tool_call_id
from services.inference.domain.output.parser import OutputParser, Parsed, PlainParser
from services.inference.domain.output.parsers_forced import NamedParser, RequiredParser
from services.inference.domain.output.parsers_gate import ToolGate
from services.inference.domain.request import Common
from services.inference.domain.tools import openai_tools

CallId = Callable[[int], str]


class VllmParsers:
    """See OutputParsers. Raises PlatformError at construction for a parser that vLLM or the tokenizer lacks."""

    def __init__(self, tokenizer: Any, *, tool_parser: str = "", reasoning_parser: str = "") -> None:
        self._tokenizer = tokenizer
        self._tools = _parser_class(tokenizer, tool_parser=tool_parser) if tool_parser else None
        self._reasoning = _parser_class(tokenizer, reasoning_parser=reasoning_parser) if reasoning_parser else None

    def parser(self, common: Common, choice: int, prompt: Sequence[int]) -> OutputParser:
        """See OutputParsers."""
        call_id = partial(tool_call_id, common.call_seed or common.request_id, choice)
        content = self._content_parser(common, call_id)
        if self._reasoning is None or not common.parse_reasoning:
            return content
        parser = self._reasoning(self._tokenizer)
        return ReasoningStage(_Stream(parser, _request(None), prompt), content, _markers(parser))

    def _content_parser(self, common: Common, call_id: CallId) -> OutputParser:
        mode = common.tool_choice.mode
        if mode == "named":
            return NamedParser(common.tool_choice.name, call_id)
        if mode == "required":
            return RequiredParser(call_id)
        if mode != "auto" or not common.tools or self._tools is None:
            return PlainParser()
        request = _request(common)
        gate = ToolGate(call_id, {tool.name for tool in common.tools}, parallel=common.tool_choice.parallel)
        parser = self._tools(self._tokenizer, request.tools)
        return ToolStage(_Stream(parser, request, ()), gate, keep=self._keeps_special(parser, request))

    def _keeps_special(self, parser: Parser, request: ChatCompletionRequest) -> bool:
        """True when the parser asks for special tokens and its own opening tag is one, or is not known."""
        tag = getattr(parser.tool_parser, "tool_call_start_token", None)
        if isinstance(tag, str) and tag not in self._tokenizer.all_special_tokens:
            return False
        return not parser.adjust_request(request.model_copy()).skip_special_tokens


def _parser_class(tokenizer: Any, **names: str) -> type[Parser]:
    given = {f"{kind}_name": name for kind, name in names.items()}
    try:
        found: type[Parser] | None = ParserManager.get_parser(**given, enable_auto_tools=True, tokenizer=tokenizer)
    except (TypeError, ValueError, RuntimeError, KeyError) as error:
        known = ToolParserManager if "tool_parser" in names else ReasoningParserManager
        raise PlatformError(
            Reason.INVALID_REQUEST,
            f"vllm.{next(iter(names))}: {error}. vLLM has: {', '.join(known.list_registered())}",
        ) from error
    if found is None:
        raise PlatformError(Reason.INTERNAL, f"vLLM gave no parser for {names}")
    return found


def _request(common: Common | None) -> ChatCompletionRequest:
    """What vLLM's parsers want to see of a request: its tools. Raises PlatformError(INVALID_SCHEMA)."""
    body: dict[str, Any] = {"messages": [{"role": "user", "content": ""}], "model": ""}
    if common is not None:
        body |= {"tools": openai_tools(common.tools), "tool_choice": "auto"}
    try:
        return ChatCompletionRequest.model_validate(body)
    except (ValueError, RecursionError) as error:
        raise PlatformError(
            Reason.INVALID_SCHEMA, "a tool's parameters must be a JSON schema object", started=False, param="tools"
        ) from error


def _markers(parser: Parser) -> dict[int, str]:
    """The tokens that open and close reasoning, where the parser tells them by token."""
    inner = parser.reasoning_parser
    pairs = (
        (getattr(inner, f"{end}_token_id", None), getattr(inner, f"{end}_token", None)) for end in ("start", "end")
    )
    return {token: text for token, text in pairs if isinstance(token, int) and isinstance(text, str)}


def pieces_of(text: str, token_ids: Sequence[int], markers: dict[int, str]) -> list[tuple[str, Sequence[int]]]:
    """Cuts what came in one go (a resumed answer, speculative tokens) so that every marker token stands alone.

    vLLM's token-based reasoning parsers assume one token per delta: "<think>Well" in one delta puts the tag into the
    reasoning. Text that does not have the markers its tokens say is left whole.
    """
    pieces: list[tuple[str, Sequence[int]]] = []
    rest, start = text, 0
    for place, token in enumerate(token_ids):
        marker = markers.get(token)
        if marker is None or marker not in rest:
            continue
        before, _, rest = rest.partition(marker)
        pieces += [(before, token_ids[start:place]), (marker, token_ids[place : place + 1])]
        start = place + 1
    pieces.append((rest, token_ids[start:]))
    return [piece for piece in pieces if piece[0] or piece[1]]


class _Stream:
    """One vLLM parser, fed piece by piece. `broken` once it raised; it is not fed again."""

    def __init__(self, parser: Parser, request: ChatCompletionRequest, prompt: Sequence[int]) -> None:
        self._parser = parser
        self._request = request
        self._prompt: list[int] | None = list(prompt)
        self.broken = False

    def feed(self, text: str, token_ids: Sequence[int], *, finished: bool = False) -> Any:
        """VLLM's DeltaMessage or None."""
        if self.broken:
            return None
        try:
            prompt, self._prompt = self._prompt, None
            return self._parser.parse_delta(text, list(token_ids), self._request, prompt, finished=finished)
        except Exception:  # a model's odd output must not end the request
            self.broken = True
            structlog.get_logger(__name__).warning("output_parser_failed", parser=type(self._parser).__name__)
            return None


class ReasoningStage:
    """Splits reasoning off; the rest goes to the parser of content."""

    def __init__(self, stream: _Stream, content: OutputParser, markers: dict[int, str]) -> None:
        self._stream = stream
        self._content = content
        self._markers = markers
        self.reasoning_tokens = 0

    @property
    def called(self) -> bool:
        """See OutputParser."""
        return self._content.called

    @property
    def keep_special_tokens(self) -> bool:
        """See OutputParser. Reasoning is told apart by its tokens, which may be special ones."""
        return True

    def feed(self, text: str, token_ids: Sequence[int]) -> Parsed:
        """See OutputParser."""
        parsed = Parsed()
        for piece, ids in pieces_of(text, token_ids, self._markers):
            _add(parsed, self._split(self._stream.feed(piece, ids), piece, ids))
        return parsed

    def _split(self, delta: Any, text: str, token_ids: Sequence[int]) -> Parsed:
        if self._stream.broken:
            return self._content.feed(text, token_ids)
        content = (delta.content if delta else None) or ""
        parsed = self._content.feed(content, token_ids) if content else Parsed()
        parsed.reasoning = (delta.reasoning if delta else None) or ""
        if parsed.reasoning and not content:
            self.reasoning_tokens += len(token_ids)
        return parsed

    def finish(self) -> Parsed:
        """See OutputParser."""
        parsed = self._split(self._stream.feed("", (), finished=True), "", ())
        _add(parsed, self._content.finish())
        return parsed


def _add(parsed: Parsed, more: Parsed) -> None:
    parsed.content += more.content
    parsed.reasoning += more.reasoning
    parsed.tool_calls += more.tool_calls


class ToolStage:
    """Tool calls of vLLM's parser through the gate; text that turned out to be no call comes back as content."""

    reasoning_tokens = 0

    def __init__(self, stream: _Stream, gate: ToolGate, *, keep: bool) -> None:
        self._stream = stream
        self._gate = gate
        self.keep_special_tokens = keep
        self._text = ""
        self._sent = ""

    @property
    def called(self) -> bool:
        """See OutputParser."""
        return self._gate.passed > 0

    def feed(self, text: str, token_ids: Sequence[int]) -> Parsed:
        """See OutputParser."""
        self._text += text
        return self._pass(self._stream.feed(text, token_ids))

    def _pass(self, delta: Any) -> Parsed:
        if self._stream.broken:
            return Parsed(content=self._unsent())
        parsed = Parsed(content=(delta.content if delta else None) or "")
        self._sent += parsed.content
        for call in delta.tool_calls if delta else ():
            function = call.function
            parsed.tool_calls += self._gate.piece(
                call.index, (function and function.name) or "", (function and function.arguments) or ""
            )
        return parsed

    def finish(self) -> Parsed:
        """See OutputParser. Without a single call, everything not yet sent is text after all."""
        parsed = self._pass(self._stream.feed("", (), finished=True))
        parsed.content += self._unsent()
        return parsed

    def _unsent(self) -> str:
        """The text that is not sent yet, unless a call was made of some of it."""
        if self.called or not self._text.startswith(self._sent):
            return ""
        rest, self._sent = self._text[len(self._sent) :], self._text
        return rest
