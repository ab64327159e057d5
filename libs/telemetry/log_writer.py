"""Writes log lines from a thread, so that neither rendering nor a slow terminal holds up the event loop."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any, TextIO

Event = Mapping[str, Any]


class LogWriter:
    """A bounded queue in front of a stream. When it is full, lines are dropped and counted."""

    def __init__(self, stream: TextIO, render: Callable[[Event], str], lines_max: int) -> None:
        self._stream, self._render = stream, render
        self._queue: queue.Queue[Event | None] = queue.Queue(lines_max)
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Queues one line; never blocks, never raises."""
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self.dropped += 1

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Writes what is queued and stops. A repeat does nothing."""
        if self._thread.is_alive():
            self._queue.put(None, timeout=timeout_seconds)
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            try:
                self._stream.write(self._render(event) + "\n")
                if self._queue.empty():
                    self._stream.flush()
            except (OSError, ValueError):  # the terminal has gone, or was closed: a service lives on without a log
                self.dropped += 1
