"""What the supervisor tells whoever looks on."""

from __future__ import annotations

from typing import Protocol

from cli.supervisor.state import PlatformState, ProcessState


class Onlooker(Protocol):
    """Shows what happens. Nothing here blocks for long or raises; each is called on the event loop."""

    def note(self, text: str) -> None:
        """Something for the user, in one sentence or a few lines."""
        ...

    def log_line(self, process: str, text: str) -> None:
        """A line that a process wrote."""
        ...

    def changed(self, process: ProcessState) -> None:
        """A process has another state than before."""
        ...

    def progress(self, task: str, done: float, total: float) -> None:
        """Work before or beside the processes; total 0 = unknown, done ≥ total > 0 = finished."""
        ...

    def tick(self, state: PlatformState) -> None:
        """Four times a second, for what moves by itself."""
        ...
