"""What the command line says when it cannot go on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(eq=False)
class CliError(Exception):
    """`message` says what is wrong and why, `fix` what to do; `code` is the exit status (2 = bad configuration).

    `reason` is what the platform calls it ("budget_exceeded", "not_found", …), "" where it did not say.
    """

    message: str
    fix: str = ""
    code: int = 1
    reason: str = ""

    def __post_init__(self) -> None:
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n  {self.fix}" if self.fix else self.message
