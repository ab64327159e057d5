"""One thread for a blocking client, so that the event loop never waits for a socket."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

T = TypeVar("T")


class OneThread:
    """Runs what it is given one after another. A daemon thread: the end of the process never waits for it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises. A cancelled caller goes at once; the work itself ends by its own limits."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
            self._thread.start()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._work.put(partial(_answer, work, future, asyncio.get_running_loop()))
        return await future

    def stop(self) -> None:
        """Ends the thread once it has done what it was given. A repeat does nothing."""
        if self._thread is not None:
            self._work.put(None)
            self._thread = None

    def _loop(self) -> None:
        while (work := self._work.get()) is not None:
            work()


def _answer(work: Callable[[], T], future: asyncio.Future[T], loop: asyncio.AbstractEventLoop) -> None:
    if future.cancelled():  # the caller went before its turn came
        return
    try:
        result = work()
    except BaseException as error:  # whatever it is belongs to the caller
        deliver = partial(_fail, future, error)
    else:
        deliver = partial(_succeed, future, result)
    with suppress(RuntimeError):  # the loop has closed: nobody waits any more
        loop.call_soon_threadsafe(deliver)


def _succeed(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
