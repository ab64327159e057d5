"""The error of a configuration that cannot start."""

from __future__ import annotations

from collections.abc import Sequence


class SettingsError(Exception):
    """A configuration that is refused. `problems` has one line each: which key, what is wrong, what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
