"""Keeps the platform's processes alive until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from cli.config import Restarts
from cli.supervisor.life import State
from cli.supervisor.spec import DRAIN_ORDER, NEEDED, ProcessSpec
from cli.supervisor.state import PlatformState
from cli.supervisor.watched import Shared, Watched
from cli.view.port import Onlooker
from libs.clock import Clock

TICK_SECONDS = 0.25


class Supervisor:
    """Runs `specs`; `save` persists the state after every change, `is_ready` says whether the platform answers."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        state: PlatformState,
        *,
        rules: Restarts,
        clock: Clock,
        onlooker: Onlooker,
        save: Callable[[PlatformState], None],
        log_dir: str,
        is_ready: Callable[[], Awaitable[bool]],
    ) -> None:
        self.state = state
        # Nothing more comes of waiting: the platform answers, or what it needs has been given up.
        self.settled = asyncio.Event()
        self._onlooker = onlooker
        self._clock = clock
        self._save = save
        self._is_ready = is_ready
        shared = Shared(rules, clock, onlooker, self._changed, log_dir)
        self._watched = {spec.name: Watched(spec, shared) for spec in specs}
        state.processes = [watched.state for watched in self._watched.values()]
        self._tasks: list[asyncio.Task[None]] = []

    def __getitem__(self, name: str) -> Watched:
        return self._watched[name]

    def _given_up(self, kind: str) -> bool:
        states = [watched.life.state for watched in self._watched.values() if watched.spec.kind == kind]
        return bool(states) and all(state is State.FAILED for state in states)

    def start(self) -> None:
        """Begins to run the processes; returns at once."""
        for watched in self._watched.values():
            gate = self._watched[watched.spec.after].answered if watched.spec.after else None
            self._tasks.append(asyncio.create_task(watched.keep_alive(gate), name=watched.spec.name))
        self._tasks.append(asyncio.create_task(self._look(), name="look"))
        self._save(self.state)

    async def stop(self) -> None:
        """Stops all in drain order, each within its grace. Cancel it and call `kill` for those in a hurry."""
        self._mark_ready(False)
        for kind in DRAIN_ORDER:
            async with asyncio.TaskGroup() as stops:
                for watched in self._watched.values():
                    if watched.spec.kind == kind:
                        stops.create_task(watched.stop())
        await self._finish()

    async def kill(self) -> None:
        """Ends all at once."""
        for watched in self._watched.values():
            watched.kill()
        await self._finish()

    async def _finish(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for watched in self._watched.values():
            await watched.close()
        self._save(self.state)

    async def _look(self) -> None:
        while True:
            with suppress(OSError):
                self._mark_ready(await self._is_ready())
            if self.state.ready or any(self._given_up(kind) for kind in NEEDED):
                self.settled.set()
            self._onlooker.tick(self.state)
            await self._clock.sleep(TICK_SECONDS)

    def _mark_ready(self, ready: bool) -> None:
        if ready != self.state.ready:
            self.state.ready = ready
            self._save(self.state)

    def _changed(self, watched: Watched) -> None:
        self._save(self.state)
        self._onlooker.changed(watched.state)
