"""The thread that starts the engine and outlives it.

The kernel ends the engine's processes when the *thread* that forked them ends (PR_SET_PDEATHSIG), so a pool's thread
must not start them, and the event loop's must not block for the half minute that starting takes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Keeper(Generic[T]):
    """Runs `build` in a thread of its own, keeps the thread, and runs `stop` on the result in it at the end."""

    def __init__(self, build: Callable[[], T], stop: Callable[[T], None]) -> None:
        self._build = build
        self._stop = stop
        self._built: Future[T] = Future()
        self._ending = threading.Event()
        self._ended: Future[None] = Future()
        for future in (self._built, self._ended):
            future.set_running_or_notify_cancel()  # who waits may give up; the thread still reports
        # A daemon: a worker that is asked to exit while its model loads must not wait for that.
        self._thread = threading.Thread(target=self._run, name="engine-keeper", daemon=True)

    async def start(self, seconds_max: float) -> T:
        """What `build` returns; raises what it raises, or TimeoutError."""
        self._thread.start()
        return await asyncio.wait_for(asyncio.wrap_future(self._built), seconds_max)

    async def close(self) -> None:
        """Stops, waits for it. A repeat does nothing more; without a start it does nothing.

        What is still being built is not waited for: it is stopped as soon as it is there, or dies with this process.
        """
        self._ending.set()
        if self._built.done():
            await asyncio.wrap_future(self._ended)

    def _run(self) -> None:
        try:
            built = self._build()
        except BaseException as error:  # goes to whoever waits in start()
            self._built.set_exception(error)
            self._ended.set_result(None)
            return
        self._built.set_result(built)
        self._ending.wait()
        try:
            self._stop(built)
            self._ended.set_result(None)
        except BaseException as error:  # goes to whoever waits in close()
            self._ended.set_exception(error)
