"""Outlines of a template by the roles of the messages, so that most prompts need no rendering."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from libs.chat_template.masking import SpecialSplitter
from libs.chat_template.messages import ROLES, Message
from libs.chat_template.outline import Outline, places
from libs.chat_template.rendered import Rendered
from libs.errors import PlatformError

_MESSAGES_MAX = 256  # of one outline: longer histories are few, and rendered as they are
_MESSAGES_KEPT_MAX = 16_384  # in all outlines together, about 200 bytes each
_ROLES = ROLES - {"tool"}  # results may be stated as text of others (tools_fallback.py)
_Key = tuple[bool, tuple[str, ...]]


class Outlines:
    """For a template that only copies contents (opaque.py). Outlines hold no word of a tenant and serve all of them.

    `render` gives the template's text for messages; `chars_max` bounds what contents may sum up to.
    """

    def __init__(self, render: Callable[[list[Message], bool], str], splitter: SpecialSplitter, chars_max: int) -> None:
        self._render, self._splitter, self._chars_max = render, splitter, chars_max
        self._outlines: dict[_Key, Outline | None] = {}
        self._messages_kept = 0

    def rendered(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool) -> Rendered | None:
        """The prompt; None where only rendering can tell: fields beside role and content, parts, refusals, sizes."""
        roles: list[Any] = []
        contents: list[str] = []
        size = 0
        for message in messages:
            content = message.get("content")
            if len(message) != 2 or type(content) is not str:
                return None
            roles.append(message.get("role"))
            contents.append(content)
            size += len(content)
        outline = self._outline((add_generation_prompt, tuple(roles))) if size <= self._chars_max else None
        return outline.fill(contents) if outline else None

    def _outline(self, key: _Key) -> Outline | None:
        if key not in self._outlines:
            if len(key[1]) > _MESSAGES_MAX or not _ROLES.issuperset(key[1]):
                return None
            self._keep(key)
        return self._outlines.get(key)

    def _keep(self, key: _Key) -> None:
        add_generation_prompt, roles = key
        contents = places(len(roles), self._splitter.nonce)
        messages = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)]
        try:
            text = self._render(messages, add_generation_prompt)
        except PlatformError:
            return  # to be said by a full rendering
        self._messages_kept += len(roles) + 1
        if self._messages_kept > _MESSAGES_KEPT_MAX:
            self._outlines.clear()
            self._messages_kept = len(roles) + 1
        self._outlines[key] = Outline.of(text, self._splitter)
