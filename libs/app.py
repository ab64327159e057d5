"""The life of a service process: start, readiness, signals, drain, end (design section 2).

Start: telemetry → adapters on one exit stack → server bound and NOT_SERVING → warm-up → SERVING.
Stop: NOT_SERVING → wait for endpoints to leave → stop accepting → finish streams within the grace → adapters close in
reverse → flush. A second signal ends the process at once.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from types import FrameType
from typing import Any, Protocol

import uvloop

from libs.clock import Clock, SystemClock
from libs.errors import PlatformError
from libs.process import watch_process
from libs.settings import ServiceSettings, SettingsError
from libs.telemetry import Telemetry, get_logger, setup
from libs.telemetry.loop_lag import watch_loop_lag

# The settings are at fault: starting again cannot help (`headrace up` does not try).
EXIT_SETTINGS = 2
EXIT_FAILED = 1

_log = get_logger("app")


class Server(Protocol):
    """What `App.serve` needs; `libs.rpc.server.RpcServer` has it."""

    async def set_serving(self, *, serving: bool) -> None:
        """Answers health checks."""
        ...

    async def drain(self, grace_seconds: float, *, hand_over: bool = False) -> None:
        """Takes nothing new and lets what runs finish."""
        ...

    async def stop(self) -> None:
        """Cuts what runs. A repeat does nothing."""
        ...


class ServingHook(Protocol):
    """Learns whether this process wants calls."""

    async def __call__(self, *, serving: bool) -> None:
        """True: calls are welcome. False: no more, please."""
        ...


class App:
    """What a service's `build` uses to take part in the process's life. Hooks run in the order they were added."""

    def __init__(self, settings: ServiceSettings, telemetry: Telemetry, clock: Clock) -> None:
        self.settings, self.telemetry, self.clock = settings, telemetry, clock
        # True between warm-up and the stop; what /readyz asks first.
        self.ready = False
        self.exit_code = 0
        self._stopping = asyncio.Event()
        self._stack = AsyncExitStack()
        self._on_serving: list[ServingHook] = []
        self._on_stop_accepting: list[Callable[[], Awaitable[None]]] = []
        self._on_drain: list[Callable[[float], Awaitable[None]]] = []

    def on_serving(self, hook: ServingHook) -> None:
        """Called with serving=True after `build`, and with False as the first step of a stop."""
        self._on_serving.append(hook)

    def on_stop_accepting(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Called once endpoints have left: close listeners, refuse new work."""
        self._on_stop_accepting.append(hook)

    def on_drain(self, hook: Callable[[float], Awaitable[None]]) -> None:
        """Called with the grace in seconds: return when running work has ended; cut off when the grace is over."""
        self._on_drain.append(hook)

    def serve(self, server: Server, *, hand_over: bool = False) -> None:
        """Ties an RpcServer to readiness, drain and the exit stack. `hand_over` asks peers to move streams at once."""
        self.on_serving(server.set_serving)
        self.on_drain(lambda grace: server.drain(grace, hand_over=hand_over))
        self._stack.push_async_callback(server.stop)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Runs `work` in the background until the stack closes. If it raises, the service stops with a failure."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._background_done)
        self._stack.push_async_callback(_cancel, task)
        return task

    def stop(self, why: str) -> None:
        """Begins the stop. A repeat does nothing."""
        if not self._stopping.is_set():
            _log.info("stopping", why=why)
            self._stopping.set()

    def fail(self, why: str) -> None:
        """Begins the stop; the process ends with a failure, so that its supervisor starts it again."""
        self.exit_code = self.exit_code or EXIT_FAILED
        self.stop(why)

    async def run(self, build: Callable[[AsyncExitStack, App], Awaitable[None]]) -> int:
        """The whole life; returns the exit code."""
        try:
            await self._start(build)
            await self._stopping.wait()
            await self._drain()
        finally:
            await self._close()
        return self.exit_code

    async def _start(self, build: Callable[[AsyncExitStack, App], Awaitable[None]]) -> None:
        building = asyncio.ensure_future(build(self._stack, self))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([building, stopping], return_when=asyncio.FIRST_COMPLETED)
            if building.done():
                building.result()
        except (SettingsError, PlatformError) as error:
            self.exit_code = EXIT_SETTINGS if isinstance(error, SettingsError) else EXIT_FAILED
            _log.error("cannot start", why=str(error))
            self.stop("start failed")
        except Exception as error:  # whatever went wrong, adapters that were opened must close
            _log.error("cannot start", exc_info=error)
            self.fail("start failed")
        finally:
            await _cancel(stopping)
            await _cancel(building)
        if not self._stopping.is_set():
            self.ready = True
            await self._step("serving", [partial(hook, serving=True) for hook in self._on_serving])

    async def _drain(self) -> None:
        was_ready, self.ready = self.ready, False
        if not was_ready:
            return
        drain = self.settings.drain
        await self._step("not serving", [partial(hook, serving=False) for hook in self._on_serving])
        await self.clock.sleep(drain.endpoints_seconds)
        await self._step("stop accepting", self._on_stop_accepting)
        finish = [partial(hook, drain.grace_seconds) for hook in self._on_drain]
        await self._step("drain", finish, drain.grace_seconds + drain.close_seconds)

    async def _step(self, name: str, hooks: list[Any], limit_seconds: float | None = None) -> None:
        """Runs the hooks together; one that fails or hangs must not keep the others from their part."""
        limit = limit_seconds or self.settings.drain.close_seconds
        tasks = [asyncio.ensure_future(hook()) for hook in hooks]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=limit)
        for task in late:
            await _cancel(task)
            _log.warning("step took too long", step=name, limit_seconds=limit)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()):
                _log.error("step failed", step=name, exc_info=error)

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(self.settings.drain.close_seconds):
                await self._stack.aclose()
        except TimeoutError:
            _log.warning("adapters did not close in time", limit_seconds=self.settings.drain.close_seconds)
        except Exception as error:  # the process ends anyway; telemetry must still be flushed
            _log.error("adapter failed to close", exc_info=error)

    def _background_done(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()):
            _log.error("background task failed", task=task.get_name(), exc_info=error)
            self.fail(f"background task {task.get_name()} failed")


async def _cancel(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


Build = Callable[[AsyncExitStack, App], Awaitable[None]]


def run_service(name: str, settings: ServiceSettings, build: Build, *, instance: str = "") -> None:
    """Runs a service until a signal or a failure; raises SystemExit when it did not end well.

    `build` opens the adapters on the exit stack, starts the server and warms up. `instance` names this replica.
    """
    try:
        telemetry = setup(settings, name, instance)
    except PlatformError as error:
        print(f"{name}: {error}", file=sys.stderr)  # noqa: T201  there is no log yet
        raise SystemExit(EXIT_FAILED) from error
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(_life(settings, telemetry, build))
    finally:
        telemetry.close()
    if code:
        raise SystemExit(code)


async def _life(settings: ServiceSettings, telemetry: Telemetry, build: Build) -> int:
    clock = SystemClock()
    app = App(settings, telemetry, clock)
    _stop_on_signals(app)
    if settings.parent_pid:
        watch_process(settings.parent_pid, lambda: os.kill(os.getpid(), signal.SIGTERM))

    async def build_all(stack: AsyncExitStack, app: App) -> None:
        app.spawn(watch_loop_lag(telemetry.registry, clock), "loop lag")
        await build(stack, app)
        _settle_heap()

    return await app.run(build_all)


def _settle_heap() -> None:
    """Spares calls the collector: what is here stays for life, and a call's own objects die by reference count.

    Cycles are still found, only less often: with the default of 700 objects a busy gateway collects every second call.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _stop_on_signals(app: App) -> None:
    """First signal: stop. Second: exit at once.

    Plain handlers and not the loop's: they run while a long import blocks the loop, so that the second one works.
    """
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def handle(signum: int, _: FrameType | None) -> None:
        if seen:
            os._exit(128 + signum)
        seen.append(signum)
        loop.call_soon_threadsafe(app.stop, signal.Signals(signum).name)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, handle)
