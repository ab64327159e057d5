"""Running async tests: `run` on virtual time, `run_real` on the machine's clock (for real sockets and processes).

Both fail the test for what asyncio would only log: tasks left running, exceptions that nobody retrieved, callbacks
that raised. The idea of jumping when nothing is ready is trio's `MockClock(autojump_threshold=0)`.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

# How long threads and sockets may keep a virtual loop waiting before it counts as stuck; wall clock, only here.
STUCK_SECONDS = 10.0
# What tasks that are ending by themselves get before they count as left behind.
SETTLE_TURNS = 20
SETTLE_SECONDS = 1.0


class LeakError(AssertionError):
    """A test left work behind: running tasks, or errors that nobody looked at."""


class StuckError(AssertionError):
    """Everything waits and nothing is scheduled that could wake it."""


class _JumpingSelector(selectors.DefaultSelector):
    """Polls instead of waiting; the time it would have waited is added to the loop's clock."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.loop.outside_work or timeout is None:
            return self._wait_for_outside(timeout)
        self.loop.jump(timeout)
        return ready

    def _wait_for_outside(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(STUCK_SECONDS)
        if not ready and timeout is None:
            waiting = [task.get_name() for task in asyncio.all_tasks(self.loop)]
            raise StuckError(f"nothing is ready and no timer is set; waiting: {waiting}")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time stands still while something is ready and jumps to the next timer when nothing is."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.loop = self
        self._now = 0.0
        self.outside_work = 0
        super().__init__(selector)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Moves the loop's clock on."""
        self._now += max(seconds, 0.0)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], R], *args: *Ts
    ) -> asyncio.Future[R]:
        """As asyncio's; time does not jump while the thread works."""
        future = super().run_in_executor(executor, func, *args)
        self.outside_work += 1
        future.add_done_callback(self._outside_done)
        return future

    def _outside_done(self, _: object) -> None:
        self.outside_work -= 1


def run(main: Coroutine[Any, Any, T]) -> T:
    """The result of `main` on a virtual-time loop: an hour of `asyncio.sleep` takes no time."""
    return _run(main, VirtualLoop())


def run_real(main: Coroutine[Any, Any, T]) -> T:
    """The result of `main` on an ordinary loop, with the same checks."""
    return _run(main, asyncio.SelectorEventLoop())


def _run(main: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    ignored: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: ignored.append(context))
    asyncio.set_event_loop(loop)
    gc.freeze()  # so that the collection at the end looks at what this test made, not at every imported library
    try:
        result = loop.run_until_complete(main)
        loop.run_until_complete(_settle(loop))
        left = _cancel_left(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
        gc.collect()  # an exception is reported when its task is collected
        _refuse_leaks(left, ignored)
        return result
    finally:
        gc.unfreeze()
        _cancel_left(loop)
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()


async def _settle(loop: asyncio.AbstractEventLoop) -> None:
    """Lets tasks end that were told to: a cancelled one needs some turns, gRPC's a moment of real time."""
    own = asyncio.current_task()
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)
    others = asyncio.all_tasks(loop) - {own}
    if others and not isinstance(loop, VirtualLoop):
        await asyncio.wait(others, timeout=SETTLE_SECONDS)


def _cancel_left(loop: asyncio.AbstractEventLoop) -> list[str]:
    left = [task for task in asyncio.all_tasks(loop) if not task.done()]
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    return [f"{task.get_name()}: {task.get_coro()}" for task in left]


def _refuse_leaks(left: list[str], ignored: list[dict[str, Any]]) -> None:
    problems = [f"task still running at the end: {task}" for task in left]
    seen = [context for context in ignored if not _is_earlier_grpc(context)]
    problems += [f"{context.get('message')}: {context.get('exception')!r}" for context in seen]
    if problems:
        raise LeakError("\n".join(problems))


def _is_earlier_grpc(context: dict[str, Any]) -> bool:
    """grpc.aio has one completion queue for all loops of a process: an event of an earlier test's loop ends up here."""
    return "PollerCompletionQueue" in str(context.get("message")) and "loop is closed" in str(context.get("exception"))
