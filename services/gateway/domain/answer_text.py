"""The text of an answer while it streams: pieces by reference, joined now and then, so that a delta costs an append."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from headrace.inference.v1.inference_pb2 import CHANNEL_REASONING, GenerateResponse

Write = Callable[[GenerateResponse, str], bool]
# Pieces are joined when there are so many: short texts cost fifty bytes each while they are apart.
_JOINED_AT = 256


@dataclass(slots=True)
class ToolCallText:
    """A tool call as far as it has come."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class ChoiceText:
    """One choice's text so far; `read` gives the joined one."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tool_calls: dict[int, ToolCallText] = field(default_factory=dict)


class AnswerText:
    """The text of all choices. Beyond `characters_max` of one channel no more is kept, and `cut` says so."""

    __slots__ = ("_characters_max", "_choices", "cut")

    def __init__(self, characters_max: int) -> None:
        self._characters_max = characters_max
        self._choices: dict[int, ChoiceText] = {}
        self.cut = False

    def beside(self, write: Write) -> Write:
        """As `write`, for deltas that are text and nothing else (usecases/lane.py); what it writes is kept."""
        add, join, content = self._add, self._join, self._choice(0).content
        append = content.append  # nearly all deltas are content of the one choice

        def both(response: GenerateResponse, text: str) -> bool:
            if not write(response, text):
                return False
            if response.choice or response.channel == CHANNEL_REASONING:
                add(response, text)
            elif text:
                append(text)
                if len(content) >= _JOINED_AT:
                    join(content)
            return True

        return both

    def take(self, response: GenerateResponse) -> None:
        """Keeps what a delta brings."""
        if text := response.text:
            self._add(response, text)
        for piece in response.tool_calls:
            calls = self._choice(response.choice).tool_calls
            call = calls.setdefault(piece.index, ToolCallText())
            call.id, call.name = call.id or piece.id, call.name or piece.name
            if len(call.arguments) < self._characters_max:
                call.arguments += piece.arguments
            else:
                self.cut = True

    def choices(self) -> dict[int, ChoiceText]:
        """By number; each list has one text at most."""
        for choice in self._choices.values():
            self._join(choice.content)
            self._join(choice.reasoning)
        return self._choices

    def _choice(self, number: int) -> ChoiceText:
        choice = self._choices.get(number)
        if choice is None:
            choice = self._choices[number] = ChoiceText()
        return choice

    def _add(self, response: GenerateResponse, text: str) -> None:
        choice = self._choice(response.choice)
        pieces = choice.reasoning if response.channel == CHANNEL_REASONING else choice.content
        pieces.append(text)
        if len(pieces) >= _JOINED_AT:
            self._join(pieces)

    def _join(self, pieces: list[str]) -> None:
        whole = "".join(pieces)
        if len(whole) > self._characters_max:
            self.cut = True
            whole = whole[: self._characters_max]
        pieces[:] = [whole] if whole else []
