"""A model's chat template, loaded once and rendered per request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

import jinja2
from jinja2 import TemplateError, meta
from tokenizers import Tokenizer

from libs.chat_template.files import load_tokenizer, named_tokens, special_tokens, template_sources
from libs.chat_template.masking import Masker, SpecialSplitter
from libs.chat_template.messages import Message, normalise
from libs.chat_template.opaque import content_uses
from libs.chat_template.outlines import Outlines
from libs.chat_template.rendered import Rendered
from libs.chat_template.sandbox import LimitError, Limits, Sandbox, strftime
from libs.chat_template.tools_fallback import with_tools_as_text
from libs.errors import PlatformError, Reason

# Names that no message changes, beside the named tokens; without tools, that is.
_CONSTANTS = ("add_generation_prompt", "tools", "documents")


class ChatTemplate:
    """Renders messages. Use it from one thread at a time: the meter of its sandbox is shared.

    `handles_tools` says whether the template has a place for tools; when it has none, tools, calls and results are
    stated as text (tools_fallback.py).
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        named: Mapping[str, str],
        splitter: SpecialSplitter,
        limits: Limits = Limits(),  # noqa: B008 - immutable
    ) -> None:
        self._sandbox = Sandbox(limits)
        self._templates = {name: _compile(self._sandbox, text) for name, text in sources.items()}
        self._named, self._splitter, self._limits = dict(named), splitter, limits
        uses = content_uses(self._sandbox.parse(sources["default"]), {*named, *_CONSTANTS})
        # Half of the limit for the template's own words, as the use of the outline is not metered.
        self._outlines = Outlines(self._outline_text, splitter, limits.chars_max // (2 * uses)) if uses else None
        self.handles_tools = any(_mentions_tools(self._sandbox, text) for text in sources.values())

    @classmethod
    def load(cls, files: Mapping[str, bytes], tokenizer: Tokenizer | None = None) -> Self:
        """The template of a model's files (files.py); `tokenizer` spares a second reading of tokenizer.json.

        Raises ValueError when a file is missing or the template is no valid jinja.
        """
        splitter = SpecialSplitter(special_tokens(tokenizer or load_tokenizer(files)))
        return cls(template_sources(files), named_tokens(files), splitter)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        *,
        add_generation_prompt: bool = True,
        now: datetime,
    ) -> Rendered:
        """The prompt of `messages` (OpenAI's message form) with `tools` (OpenAI's tool form).

        `now` is what the template's `strftime_now` reads: freeze it per session. Raises PlatformError(INVALID_REQUEST)
        when the template refuses the messages, UNSUPPORTED_CONTENT for content that is no text.
        """
        if self._outlines and not tools:
            quick = self._outlines.rendered(messages, add_generation_prompt=add_generation_prompt)
            if quick is not None:
                return quick
        masker = Masker(self._splitter)
        shaped = [self._masked(m, masker) for m in normalise(messages)]
        offered = [masker.mask_tree(tool) for tool in tools]
        if not self.handles_tools:
            shaped, offered = with_tools_as_text(shaped, offered), []
        values = self._values(shaped, add_generation_prompt=add_generation_prompt)
        values |= {"tools": offered or None, "strftime_now": strftime(now)}
        return self._splitter.split(self._run(values), masker)

    def _outline_text(self, messages: list[Message], add_generation_prompt: bool) -> str:  # noqa: FBT001 - a callback
        text = self._run(self._values(messages, add_generation_prompt=add_generation_prompt))
        if len(text) > self._limits.chars_max // 2:
            raise _refusal("the template's own text is beyond the size limit")
        return text

    def _values(self, messages: list[Message], *, add_generation_prompt: bool) -> dict[str, Any]:
        constants = {"add_generation_prompt": add_generation_prompt, "tools": None, "documents": None}
        return {**self._named, "messages": messages, **constants}

    def _run(self, values: dict[str, Any]) -> str:
        name = "tool_use" if values["tools"] and "tool_use" in self._templates else "default"
        self._sandbox.begin()
        try:
            return self._joined(self._templates[name], values)
        except LimitError as error:
            raise _refusal(f"rendering these messages was stopped: {error.message}") from error
        except TemplateError as error:
            raise _refusal(f"the model's chat template refuses these messages: {error.message}") from error
        except (TypeError, ValueError, KeyError, AttributeError, RecursionError, OverflowError) as error:
            raise _refusal(f"the model's chat template fails on these messages ({type(error).__name__})") from error

    def _joined(self, template: jinja2.Template, values: dict[str, Any]) -> str:
        parts, size = [], 0
        for part in template.generate(values):
            parts.append(part)
            size += len(part)
            if size > self._limits.chars_max:
                raise LimitError("the prompt is beyond the size limit")
        return "".join(parts)

    @staticmethod
    def _masked(message: Message, masker: Masker) -> Message:
        masked: Message = masker.mask_tree({key: value for key, value in message.items() if key != "role"})
        return {"role": message["role"], **masked}


def _compile(sandbox: Sandbox, source: str) -> jinja2.Template:
    try:
        return sandbox.from_string(source)
    except TemplateError as error:
        raise ValueError(f"the model's chat template is no valid jinja ({error.message})") from error


def _mentions_tools(sandbox: Sandbox, source: str) -> bool:
    return "tools" in meta.find_undeclared_variables(sandbox.parse(source))


def _refusal(message: str) -> PlatformError:
    return PlatformError(Reason.INVALID_REQUEST, message, started=False, param="messages")
