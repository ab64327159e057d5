"""For programs: one JSON object per line."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, TextIO

from cli.supervisor.state import PlatformState, ProcessState


class JsonView:
    """An `Onlooker` that writes `{"event": …}` lines."""

    def __init__(self, out: TextIO, *, logs: bool) -> None:
        self._out = out
        self._logs = logs
        self._ready = False

    def note(self, text: str) -> None:
        """See Onlooker."""
        self._write({"event": "note", "text": text})

    def log_line(self, process: str, text: str) -> None:
        """See Onlooker."""
        if self._logs:
            self._write({"event": "log", "process": process, "text": text})

    def changed(self, process: ProcessState) -> None:
        """See Onlooker."""
        self._write({"event": "process", **asdict(process)})

    def progress(self, task: str, done: float, total: float) -> None:
        """See Onlooker."""
        self._write({"event": "progress", "task": task, "done": done, "total": total})

    def tick(self, state: PlatformState) -> None:
        """See Onlooker."""
        if state.ready != self._ready:
            self._ready = state.ready
            self._write({"event": "ready" if state.ready else "not_ready", "rest": state.rest, "grpc": state.grpc})

    def _write(self, event: dict[str, Any]) -> None:
        self._out.write(json.dumps(event) + "\n")
        self._out.flush()
