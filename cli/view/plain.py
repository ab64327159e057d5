"""For pipes, files and CI: one line per event, no control characters."""

from __future__ import annotations

from rich.console import Console

from cli.supervisor.state import PlatformState, ProcessState
from cli.view.words import describe

# A bar becomes a line at each quarter.
STEPS = 4


class PlainView:
    """An `Onlooker` that prints lines."""

    def __init__(self, console: Console, *, logs: bool) -> None:
        self._console = console
        self._logs = logs
        self._said: dict[str, int] = {}

    def note(self, text: str) -> None:
        """See Onlooker."""
        self._print(text)

    def log_line(self, process: str, text: str) -> None:
        """See Onlooker."""
        if self._logs:
            self._print(f"{process:<12} | {text}")

    def changed(self, process: ProcessState) -> None:
        """See Onlooker."""
        words = describe(process)
        self._print(f"{process.name}: {process.state} ({words})" if words else f"{process.name}: {process.state}")
        for line in process.log_tail:
            self._print(f"    {line}")

    def progress(self, task: str, done: float, total: float) -> None:
        """See Onlooker."""
        step = int(STEPS * done / total) if total else 0
        if self._said.get(task, -1) < step:
            self._said[task] = step
            self._print(f"{task}: {100 * step // STEPS} %" if total else f"{task} …")

    def tick(self, state: PlatformState) -> None:
        """See Onlooker."""

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
