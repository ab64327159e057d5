"""Tells watchers the worker's load and health: a steady beat, and at once when it drains or sickens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from libs.clock import Clock
from services.inference.domain.model import EngineLoad
from services.inference.usecases.activity import Activity


@dataclass(frozen=True, slots=True)
class State:
    """One message to watchers. `sequence` ascends by one."""

    sequence: int
    running: int
    waiting: int
    kv_use: float
    draining: bool
    healthy: bool


class StateBoard:
    """Publishes the state to all watchers; one sequence for all of them, so that a gap is a loss."""

    def __init__(
        self,
        load: Callable[[], EngineLoad],
        activity: Activity,
        clock: Clock,
        *,
        beat_seconds: float,
        stall_seconds: float,
    ) -> None:
        self._load, self._activity, self._clock = load, activity, clock
        self._beat, self._stall = beat_seconds, stall_seconds
        self._watchers: dict[Callable[[State], None], Callable[[], None]] = {}
        self._listeners: list[Callable[[bool], object]] = []
        self._steps, self._moved_at = -1, 0.0
        self._wake = asyncio.Event()
        self._sequence = 0
        self.state = self._now()
        activity.on_change(self._wake.set)

    @property
    def healthy(self) -> bool:
        """The engine produces, or would if asked."""
        return self.state.healthy

    def on_health(self, listener: Callable[[bool], object]) -> None:
        """Calls back when `healthy and not draining` changes."""
        self._listeners.append(listener)

    def watch(self, watcher: Callable[[State], None], end: Callable[[], None]) -> Callable[[], None]:
        """Every state from now on goes to `watcher`, until the returned function is called; `close` calls `end`."""
        self._watchers[watcher] = end
        return lambda: self._watchers.pop(watcher, None) and None

    def close(self) -> None:
        """Ends all watches: the last thing a draining worker says."""
        for end in list(self._watchers.values()):
            end()

    async def run(self) -> None:
        """Publishes until cancelled."""
        while True:
            self.publish()
            self._wake.clear()
            beat = asyncio.ensure_future(self._clock.sleep(self._beat))
            wake = asyncio.ensure_future(self._wake.wait())
            try:
                await asyncio.wait({beat, wake}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                beat.cancel()
                wake.cancel()

    def publish(self) -> None:
        """Takes the state and tells everyone."""
        was, self._sequence = self.state, self._sequence + 1
        self.state = state = self._now()
        for watcher in list(self._watchers):
            watcher(state)
        serving = state.healthy and not state.draining
        if serving != (was.healthy and not was.draining):
            for listener in self._listeners:
                listener(serving)

    def _now(self) -> State:
        load = self._load()
        healthy = load.healthy and not self._activity.dead and not self._stalled(load)
        return State(self._sequence, load.running, load.waiting, load.kv_use, self._activity.draining, healthy)

    def _stalled(self, load: EngineLoad) -> bool:
        """Whether calls run and no step has come for too long."""
        now = self._clock.monotonic()
        if self._activity.steps != self._steps or not load.running:
            self._steps, self._moved_at = self._activity.steps, now
        return now - self._moved_at > self._stall
