"""Ctrl-C once: stop in order. Twice: kill."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_INTERRUPTED = 130


class Interrupts:
    """`stop` is set by the first signal once `armed`; before that, and from the second on, the work is cancelled."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.armed = False
        self._task: asyncio.Task[Any] | None = None

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` under these rules; raises CancelledError when it was cut short."""
        task = asyncio.create_task(work)
        self._task = task
        loop = asyncio.get_running_loop()
        for name in SIGNALS:
            loop.add_signal_handler(name, self.interrupt)
        try:
            return await task
        finally:
            for name in SIGNALS:
                loop.remove_signal_handler(name)

    def interrupt(self) -> None:
        """What a signal does."""
        if self.armed and not self.stop.is_set():
            self.stop.set()
        elif self._task is not None:
            self._task.cancel()
