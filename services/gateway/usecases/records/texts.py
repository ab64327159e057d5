"""Puts the redacted texts of a call into its record, bit by bit, so that the event loop has its turn in between."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TypeVar

from services.gateway.domain.answer_text import AnswerText, ChoiceText
from services.gateway.domain.request_record import ChoiceTexts, TextState, TurnText
from services.gateway.domain.turns import ChatRequest, Turn
from services.gateway.ports.records import Redactor
from services.gateway.usecases.records.recorder import Unwritten

T = TypeVar("T")
_Bits = Generator[None, None, T]


class TextFiller:
    """Answer first, then the turns from the last one back, until `characters_max` are in: those of an agent's first
    steps are in the records of these steps too. What does not fit is cut, and the record says so.
    """

    def __init__(self, redactor: Redactor, characters_max: int) -> None:
        self._redactor, self._characters_max = redactor, characters_max

    def fill(self, one: Unwritten) -> Iterator[None]:
        """Fills `one.record`; the texts are gone from `one` then. Each `next` is a small amount of work."""
        record, request, answer = one.record, one.request, one.answer
        if record.text is not TextState.PENDING:
            return
        left = _Left(self._characters_max)
        if answer is not None:
            record.answers = yield from self._answers(answer, left)
        if request is not None:
            record.prompt = yield from self._turns(request, left)
        record.text_cut = left.cut or (answer is not None and answer.cut)
        record.text = TextState.STORED
        one.request = one.answer = None

    def _answers(self, answer: AnswerText, left: _Left) -> _Bits[tuple[ChoiceTexts, ...]]:
        found = []
        for _, choice in sorted(answer.choices().items()):
            found.append((yield from self._choice(choice, left)))
        return tuple(found)

    def _choice(self, choice: ChoiceText, left: _Left) -> _Bits[ChoiceTexts]:
        content = yield from self._clean("".join(choice.content), left)
        reasoning = yield from self._clean("".join(choice.reasoning), left)
        calls = []
        for _, call in sorted(choice.tool_calls.items()):
            arguments = yield from self._clean(call.arguments, left)
            calls.append({"id": call.id, "name": call.name, "arguments": arguments})
        return ChoiceTexts(content, reasoning, tuple(calls))

    def _turns(self, request: ChatRequest, left: _Left) -> _Bits[tuple[TurnText, ...]]:
        found = []
        for turn in reversed(request.turns):
            if not left.characters:
                left.cut = True
                break
            found.append((yield from self._turn(turn, left)))
        return tuple(reversed(found))

    def _turn(self, turn: Turn, left: _Left) -> _Bits[TurnText]:
        text = yield from self._clean(turn.text, left)
        reasoning = yield from self._clean(turn.reasoning, left)
        calls = []
        for call in turn.tool_calls:
            arguments = yield from self._clean(call.arguments_json, left)
            calls.append({"id": call.id, "name": call.name, "arguments": arguments})
        return TurnText(turn.role.value, text, reasoning, turn.name, tuple(calls))

    def _clean(self, text: str, left: _Left) -> _Bits[str]:
        pieces = []
        for piece in self._redactor.redact(left.take(text)):
            pieces.append(piece)
            yield
        return "".join(pieces)


class _Left:
    """How much more text a record takes."""

    def __init__(self, characters: int) -> None:
        self.characters, self.cut = characters, False

    def take(self, text: str) -> str:
        """The text as far as it fits: its end, where questions and errors stand."""
        if len(text) > self.characters:
            self.cut = True
            text = text[len(text) - self.characters :]
        self.characters -= len(text)
        return text
