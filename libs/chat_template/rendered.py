"""What rendering gives: runs of text and of control tokens, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Run(NamedTuple):
    """A stretch of the prompt: ordinary text, or one control token that the template wrote (`special` = its id)."""

    text: str
    special: int | None = None


class Rendered(NamedTuple):
    """A rendered prompt."""

    runs: Sequence[Run]

    @property
    def text(self) -> str:
        """The prompt as people read it; control tokens and text that only looks like them are told apart by `runs`."""
        return "".join(run.text for run in self.runs)
