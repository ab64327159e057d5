"""What turns the text of one choice into channels: content, reasoning, tool calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.inference.domain.request import Common


@dataclass(slots=True)
class ToolPiece:
    """A piece of tool call number `index`; the first piece of each index carries `id` and `name`."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Parsed:
    """What a feed brought; each part may be empty. Reasoning comes before content, content before tool calls."""

    content: str = ""
    reasoning: str = ""
    tool_calls: list[ToolPiece] = field(default_factory=list)


class OutputParser(Protocol):
    """Parses one choice. Pure: no I/O, no clock; the same text gives the same result however it is cut."""

    def feed(self, text: str, token_ids: Sequence[int]) -> Parsed:
        """Parses the next piece of text and the tokens it came with. Never raises: what is malformed is content."""
        ...

    def finish(self) -> Parsed:
        """Gives out what was held back, once, when the choice ends for any reason."""
        ...

    @property
    def called(self) -> bool:
        """True once a tool call has begun: a finish of "stop" then reads "tool_calls"."""
        ...

    @property
    def reasoning_tokens(self) -> int:
        """Tokens that went into the reasoning channel so far."""
        ...

    @property
    def keep_special_tokens(self) -> bool:
        """True when the parser looks for special tokens in the text: then they must not be left out of it."""
        ...


class OutputParsers(Protocol):
    """Makes parsers; one per worker."""

    def parser(self, common: Common, choice: int, prompt: Sequence[int]) -> OutputParser:
        """A parser for one choice of a request, whose prompt (without resumed tokens) is `prompt`."""
        ...


class PlainParser:
    """All text is content."""

    called = False
    reasoning_tokens = 0
    keep_special_tokens = False

    def feed(self, text: str, token_ids: Sequence[int]) -> Parsed:  # noqa: ARG002 - the protocol's names
        """See OutputParser."""
        return Parsed(content=text)

    def finish(self) -> Parsed:
        """See OutputParser."""
        return Parsed()


class PlainParsers:
    """PlainParser for every choice, for engines without tools and reasoning."""

    def parser(self, common: Common, choice: int, prompt: Sequence[int]) -> OutputParser:  # noqa: ARG002 - as above
        """See OutputParsers."""
        return PlainParser()
