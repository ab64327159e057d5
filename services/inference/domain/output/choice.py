"""The output of one choice: from engine steps to deltas, through detokeniser, stop strings and parser."""

from __future__ import annotations

from collections.abc import Sequence

from services.inference.domain.output.delta import Delta
from services.inference.domain.output.detokenizer import Detokenizer
from services.inference.domain.output.parser import OutputParser, Parsed
from services.inference.domain.output.stop import StopMatcher
from services.inference.domain.output.tokens import Step
from services.inference.domain.request import ResumeChoice


class ChoiceOutput:
    """State of one choice. `parser` None = all text is content; `matcher` None = no stop strings.

    `tokens` counts its output tokens so far, over all attempts. While `plain`, tokens are text and nothing else: then
    `take` gives all that `feed` would for a step that has only tokens.

    With `resume`, the delivered tokens run through every stage first and what they give is dropped up to what the
    caller has, so that the state is that of the lost attempt.
    """

    def __init__(
        self,
        choice: int,
        detokenizer: Detokenizer,
        *,
        parser: OutputParser | None = None,
        matcher: StopMatcher | None = None,
        min_tokens: int = 0,
        resume: ResumeChoice | None = None,
    ) -> None:
        self._choice, self._detokenizer = choice, detokenizer
        self._parser, self._matcher, self._min_tokens = parser, matcher, min_tokens
        self.tokens = 0
        self._skip_content, self._skip_reasoning = 0, 0
        self._stageless = parser is None and matcher is None
        self.plain = self._stageless and resume is None
        # What a resumed choice's caller does not have yet, until the next step.
        self._resumed_text: Parsed | None = None
        self.finish: str | None = None
        self.stopped_by_text = False
        if resume is not None:
            self._replay(resume)

    @property
    def reasoning_tokens(self) -> int:
        """See OutputParser."""
        return self._parser.reasoning_tokens if self._parser else 0

    def take(self, token_ids: Sequence[int]) -> str:
        """Text of the next tokens. Only while `plain`."""
        self.tokens += len(token_ids)
        if len(token_ids) == 1:
            return self._detokenizer.feed(token_ids[0])
        return "".join(map(self._detokenizer.feed, token_ids))

    def feed(self, step: Step) -> list[Delta]:
        """Deltas of a step, the last of which carries its tokens. Nothing once `finish` is set."""
        if self.finish is not None:
            return []
        if self.plain and step.finish is None:
            first = self.tokens
            return [Delta(self._choice, first, step.token_ids, self.take(step.token_ids), logprobs=step.logprobs)]
        return self._general(step)

    def _general(self, step: Step) -> list[Delta]:
        first = self.tokens
        # The token that ended the choice is no text.
        textual = len(step.token_ids) - (step.finish == "stop")
        parsed, self._resumed_text = self._resumed_text or Parsed(), None
        used = 0
        for used, token in enumerate(step.token_ids, start=1):
            self._add(parsed, token, is_text=used <= textual)
            if self.stopped_by_text:
                break
        self._end(parsed, step)
        delta = Delta(self._choice, first, step.token_ids[:used], finish=self.finish)
        delta.logprobs, delta.tool_calls = step.logprobs[:used], parsed.tool_calls
        if self.finish is not None:
            delta.stop_reason = self._stop_reason(step)
        delta.text = self._unsent_content(parsed.content)
        reasoning = self._unsent_reasoning(parsed.reasoning)
        self.plain = self._stageless and not self._skip_content and self.finish is None
        if not reasoning:
            return [delta]
        return [Delta(self._choice, first, text=reasoning, is_reasoning=True), delta]

    def _add(self, parsed: Parsed, token: int, *, is_text: bool) -> None:
        """Takes one token through all stages."""
        self.tokens += 1
        text = self._detokenizer.feed(token) if is_text else ""
        if self._matcher is not None:
            text = self._matched(self._matcher, text)
        self._parse(parsed, text, (token,))

    def _matched(self, matcher: StopMatcher, text: str) -> str:
        if self.tokens <= self._min_tokens:
            return text
        text = matcher.feed(text)
        self.stopped_by_text = matcher.matched is not None
        return text

    def _parse(self, parsed: Parsed, text: str, token_ids: tuple[int, ...]) -> None:
        if self._parser is None:
            parsed.content += text
        else:
            _join(parsed, self._parser.feed(text, token_ids))

    def _end(self, parsed: Parsed, step: Step) -> None:
        """Lets out what was held back when the choice ends."""
        if step.finish is None and not self.stopped_by_text:
            return
        rest = "" if self.stopped_by_text else self._rest()
        finish = "stop" if self.stopped_by_text else step.finish
        if rest:
            self._parse(parsed, rest, ())
        if self._parser is not None:
            _join(parsed, self._parser.finish())
            if finish == "stop" and self._parser.called:
                finish = "tool_calls"
        self.finish = finish

    def _rest(self) -> str:
        """The unfinished character, which may complete a stop string, and the held beginning of one."""
        text = self._detokenizer.finish()
        if self._matcher is None:
            return text
        text = self._matched(self._matcher, text)
        return text if self.stopped_by_text else text + self._matcher.release()

    def resumed_end(self) -> Delta | None:
        """The last delta of a choice whose resumed tokens already hold a stop string; None for any other."""
        if not self.stopped_by_text or self._matcher is None or self._resumed_text is None:
            return None
        text = self._unsent_content(self._resumed_text.content)
        return Delta(self._choice, self.tokens, text=text, finish=self.finish, stop_reason=self._matcher.matched or "")

    def _stop_reason(self, step: Step) -> str:
        if self.stopped_by_text and self._matcher is not None:
            return self._matcher.matched or ""
        return "" if step.stop_token is None else str(step.stop_token)

    def _replay(self, resume: ResumeChoice) -> None:
        """Rebuilds the state of the lost attempt. What its caller does not have yet goes out with the next step."""
        self._skip_content, self._skip_reasoning = resume.text_sent, resume.reasoning_sent
        parsed = Parsed()
        for token in resume.token_ids:
            self._add(parsed, token, is_text=True)
        self._resumed_text = Parsed(parsed.content, parsed.reasoning)
        if self.stopped_by_text or resume.finished:
            self.finish = "stop"

    def _unsent_content(self, text: str) -> str:
        skipped = min(self._skip_content, len(text))
        self._skip_content -= skipped
        return text[skipped:]

    def _unsent_reasoning(self, text: str) -> str:
        skipped = min(self._skip_reasoning, len(text))
        self._skip_reasoning -= skipped
        return text[skipped:]


def _join(parsed: Parsed, more: Parsed) -> None:
    parsed.content += more.content
    parsed.reasoning += more.reasoning
    if more.tool_calls:
        parsed.tool_calls = [*parsed.tool_calls, *more.tool_calls]
