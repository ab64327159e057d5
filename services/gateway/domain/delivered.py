"""What a client has been sent, choice by choice: enough to continue the stream on another worker."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

from headrace.inference.v1.inference_pb2 import CHANNEL_REASONING, FINISH_REASON_LENGTH, GenerateResponse, Usage

from services.gateway.domain.work import ChoiceResume

# By number: FINISH_REASON_STOP reads "stop"; what is no reason reads "".
_FINISHES = ("", "stop", "length", "tool_calls", "content_filter")
# Of an answer whose tokens its engine has not counted yet; as its worker guesses them, rounded down.
_BYTES_PER_TOKEN = 4
# More tokens than any answer has.
UNBOUNDED = 2**62


class HoleError(Exception):
    """A worker's delta does not follow the one before: tokens are missing, doubled or of an unknown choice."""


class _Choice:
    """Tokens and characters of one choice. `uncounted`: bytes that came without tokens."""

    __slots__ = ("finish", "finished", "reasoning", "text", "tokens", "uncounted")

    def __init__(self) -> None:
        self.tokens: array[int] = array("I")
        self.uncounted = 0
        self.text = 0
        self.reasoning = 0
        self.finished = False
        self.finish = 0


class Delivered:
    """Keeps account of the deltas of all attempts. `stale` counts deltas of earlier attempts that came late.

    `room` output tokens may still be delivered; what would pass it is left, and the answer is `cut` there. Below `low`
    every delta takes the ordinary way, where room can be made.
    """

    __slots__ = ("_awaits_usage", "_choices", "_epoch", "cut", "low", "room", "stale", "unfinished", "usages")

    def __init__(self, choices: int, room: int = UNBOUNDED, low: int = 0) -> None:
        self.room = room
        self.low = low
        self.cut = False
        self._choices = [_Choice() for _ in range(choices)]
        self._epoch = 0
        self._awaits_usage = True
        self.stale = 0
        # Choices without a finish reason.
        self.unfinished = choices
        # One per attempt that said something.
        self.usages: list[Usage] = []

    def begin(self, epoch: int) -> None:
        """The deltas that follow are those of attempt `epoch`; others are stale."""
        self._epoch = epoch
        self._awaits_usage = True

    def take(self, batch: Iterable[GenerateResponse]) -> list[GenerateResponse]:
        """The deltas of `batch` that belong to the attempt in progress, now counted as delivered.

        Raises HoleError at the first one that does not continue its choice; the account is void then.
        """
        fresh: list[GenerateResponse] = []
        choices, epoch = self._choices, self._epoch
        for response in batch:
            if response.epoch != epoch:
                self.stale += 1
                continue
            tokens = response.token_ids
            try:
                choice = choices[response.choice]
            except IndexError as error:
                raise HoleError(f"choice {response.choice} of {len(choices)}") from error
            if tokens:
                if response.first_index != len(choice.tokens):
                    raise HoleError(f"index {response.first_index} where {len(choice.tokens)} was due")
                if len(tokens) > self.room:
                    self.cut = True
                    break
                self.room -= len(tokens)
                choice.tokens.extend(tokens)
            else:
                choice.uncounted += _size(response)
            if text := response.text:
                self._count_text(choice, response, len(text))
            if response.finish and not choice.finished:
                choice.finished, choice.finish = True, response.finish
                self.unfinished -= 1
            if choice.finished or self._awaits_usage or not tokens:
                self._read_usage(response)
            fresh.append(response)
        return fresh

    def pass_on(self, response: GenerateResponse, write: Callable[[GenerateResponse, str], bool]) -> bool:
        """As `take`, for a delta that brings tokens and decides nothing, if `write(response, text)` takes it.

        False, and nothing is counted, for any other, and for what `write` refuses.
        """
        number, choices = response.choice, self._choices
        if response.epoch != self._epoch or self._awaits_usage or response.finish or number >= len(choices):
            return False
        choice, tokens = choices[number], response.token_ids
        if response.first_index != len(choice.tokens) or choice.finished or not tokens:
            return False
        room = self.room - len(tokens)
        if room < self.low:
            return False
        text = response.text
        if not write(response, text):
            return False
        self.room = room
        choice.tokens.extend(tokens)
        if text:
            self._count_text(choice, response, len(text))
        return True

    @staticmethod
    def _count_text(choice: _Choice, response: GenerateResponse, characters: int) -> None:
        if response.channel == CHANNEL_REASONING:
            choice.reasoning += characters
        else:
            choice.text += characters

    def _read_usage(self, response: GenerateResponse) -> None:
        """Usage comes with an attempt's first delta, as far as known, and whole with its last."""
        if response.HasField("usage"):
            if self._awaits_usage:
                self.usages.append(response.usage)
            else:
                self.usages[-1] = response.usage
            self._awaits_usage = False

    def finish_cut(self) -> list[GenerateResponse]:
        """The ends of all choices that have none: an answer that was cut is as long as it may be."""
        ends = [
            GenerateResponse(epoch=self._epoch, choice=index, finish=FINISH_REASON_LENGTH)
            for index, choice in enumerate(self._choices)
            if not choice.finished
        ]
        for end in ends:
            choice = self._choices[end.choice]
            choice.finished, choice.finish = True, end.finish
        self.unfinished = 0
        return ends

    @property
    def finishes(self) -> tuple[str, ...]:
        """Per choice why it ended: "stop", "length", "tool_calls", "content_filter", "" = it has not."""
        return tuple([_FINISHES[choice.finish] for choice in self._choices])

    @property
    def tokens(self) -> int:
        """Output tokens over all choices and attempts."""
        return sum(len(choice.tokens) for choice in self._choices)

    def completion_tokens(self) -> int:
        """Output tokens to be charged. Without token ids: what the engine counted, or a guess until it has."""
        counted = self.tokens
        if counted:
            return counted
        if self.usages and self.usages[-1].completion_tokens:
            return self.usages[-1].completion_tokens
        return sum(choice.uncounted // _BYTES_PER_TOKEN for choice in self._choices)

    def spent_least(self) -> int:
        """Tokens of the unfinished choice that has fewest; 0 when all have finished."""
        return min((len(choice.tokens) for choice in self._choices if not choice.finished), default=0)

    def left_all(self, max_tokens: int) -> bool:
        """Whether every unfinished choice may still get a token; one at its limit has lost its finish for good."""
        return all(choice.finished or len(choice.tokens) < max_tokens for choice in self._choices)

    def resume(self, max_tokens: int) -> tuple[ChoiceResume, ...]:
        """How to continue: every choice, with what is left of `max_tokens` per choice."""
        return tuple(
            ChoiceResume(
                index,
                choice.tokens,
                choice.text,
                choice.reasoning,
                choice.finished,
                0 if choice.finished else max_tokens - len(choice.tokens),
            )
            for index, choice in enumerate(self._choices)
        )


def _size(response: GenerateResponse) -> int:
    """Bytes of text and tool calls."""
    size = len(response.text.encode())
    for piece in response.tool_calls:
        size += len(piece.name) + len(piece.arguments.encode())
    return size
