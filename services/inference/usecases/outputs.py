"""Builds the output stages of each choice of a request."""

from __future__ import annotations

from typing import Protocol

from services.inference.domain.output.choice import ChoiceOutput
from services.inference.domain.output.detokenizer import Detokenizer
from services.inference.domain.output.parser import OutputParser, OutputParsers, PlainParser
from services.inference.domain.output.stop import StopMatcher
from services.inference.domain.request import ResumeChoice, TokenWork


class Detokenizers(Protocol):
    """Makes detokenisers; one per worker."""

    def detokenizer(self, *, keep_special_tokens: bool) -> Detokenizer:
        """A new one; special tokens are no text unless they are kept."""
        ...


class Outputs:
    """Makes the ChoiceOutput of every choice."""

    def __init__(self, detokenizers: Detokenizers, parsers: OutputParsers) -> None:
        self._detokenizers, self._parsers = detokenizers, parsers

    def choices(self, work: TokenWork) -> list[ChoiceOutput]:
        """One per choice, with resumed ones already where the lost attempt was."""
        resume = {choice.choice: choice for choice in work.resume}
        return [self._choice(work, number, resume.get(number)) for number in range(work.common.sampling.n)]

    def _choice(self, work: TokenWork, number: int, resume: ResumeChoice | None) -> ChoiceOutput:
        parser: OutputParser | None = self._parsers.parser(work.common, number, work.prompt)
        keep = parser is not None and parser.keep_special_tokens
        sampling = work.common.sampling
        return ChoiceOutput(
            number,
            self._detokenizers.detokenizer(keep_special_tokens=keep),
            parser=None if type(parser) is PlainParser else parser,
            matcher=StopMatcher(sampling.stop) if sampling.stop else None,
            min_tokens=sampling.min_tokens,
            resume=resume,
        )
