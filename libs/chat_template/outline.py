"""A prompt with places left open for what messages say, for templates that only copy it (opaque.py)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Self

from libs.chat_template.masking import Masker, SpecialSplitter
from libs.chat_template.rendered import Rendered, Run

_OPEN, _SHUT = "\ue002", "\ue003"  # private use, as in masking.py


class Outline:
    """Runs of a prompt; text is put into it without ever being searched for control tokens, so it can forge none."""

    __slots__ = ("_fills", "_runs")

    def __init__(self, runs: list[Run], fills: list[tuple[int, int, str]]) -> None:
        self._runs = runs
        self._fills = fills  # in order: the run, the message whose content is put behind its text, the text after that

    @classmethod
    def of(cls, text: str, splitter: SpecialSplitter) -> Self | None:
        """The outline of a text with `places`. None where a control token might depend on what fills them."""
        mark = _mark(splitter.nonce)
        pieces = mark.split(text)
        if splitter.swallows:  # of white space, and a content's own might be meant
            return None
        before = ""
        for literal in pieces[:-1:2]:
            # Over a place that stays empty, too.
            before = (before + literal)[-splitter.longest :]
            if splitter.ends_in_prefix(before):
                return None
        runs: list[Run] = []
        fills: list[tuple[int, int, str]] = []
        for run in splitter.split(text, Masker(splitter)).runs:
            literal, *rest = mark.split(run.text) if run.special is None else [run.text]
            fills += [(len(runs), int(place), after) for place, after in zip(rest[::2], rest[1::2], strict=True)]
            runs.append(Run(literal, run.special))
        return cls(runs, fills) if len(fills) == len(pieces) // 2 else None

    def fill(self, contents: Sequence[str]) -> Rendered:
        """The prompt with the messages' contents."""
        runs = self._runs.copy()
        some_empty = False
        for position, message, after in self._fills:
            text = f"{runs[position][0]}{contents[message]}{after}"
            runs[position] = Run(text)
            some_empty = some_empty or not text
        return Rendered([run for run in runs if run.text] if some_empty else runs)


def places(count: int, nonce: str) -> list[str]:
    """Contents that stand for those of `count` messages. A template cannot write them by itself: `nonce` is random."""
    return [f"{_OPEN}{nonce}{i}{_SHUT}" for i in range(count)]


def _mark(nonce: str) -> re.Pattern[str]:
    return re.compile(f"{_OPEN}{nonce}([0-9]+){_SHUT}")
