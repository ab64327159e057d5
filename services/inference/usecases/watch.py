"""Tells watchers the worker's load, health and cached blocks: a steady beat, at once when it drains or sickens, and
nearly at once when blocks have come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from libs.clock import Clock
from services.inference.domain.cached_blocks import NO_CHANGES, BlockChanges, CachedBlocks
from services.inference.domain.model import EngineLoad
from services.inference.usecases.activity import Activity

# Between two messages because of blocks. A burst of calls is seen within it; at full load it is 50 messages a second.
_GAP_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class State:
    """One message to watchers. `sequence` ascends by one; `queue_ms` is the mean wait of calls that began lately."""

    sequence: int
    running: int
    waiting: int
    kv_use: float
    draining: bool
    healthy: bool
    queue_ms: int
    blocks: BlockChanges
    blocks_held: int


class StateBoard:
    """Publishes the state to all watchers; one sequence for all of them, so that a gap is a loss."""

    def __init__(
        self,
        load: Callable[[], EngineLoad],
        activity: Activity,
        clock: Clock,
        blocks: CachedBlocks,
        *,
        beat_seconds: float,
        stall_seconds: float,
    ) -> None:
        self._load, self._activity, self._clock = load, activity, clock
        self._blocks = blocks
        self._beat, self._stall = beat_seconds, stall_seconds
        self._watchers: dict[Callable[[State], None], Callable[[], None]] = {}
        self._listeners: list[Callable[[bool], object]] = []
        self._steps, self._moved_at = -1, 0.0
        self._wake, self._came = asyncio.Event(), asyncio.Event()
        self._sequence = 0
        self.state = self._now(NO_CHANGES)
        activity.on_change(self._wake.set)
        blocks.on_stored(self._came.set)

    @property
    def healthy(self) -> bool:
        """The engine produces, or would if asked."""
        return self.state.healthy

    def on_health(self, listener: Callable[[bool], object]) -> None:
        """Calls back when `healthy and not draining` changes."""
        self._listeners.append(listener)

    def watch(
        self, watcher: Callable[[State], None], end: Callable[[], None], *, after: int | None = None
    ) -> tuple[State | None, Callable[[], None]]:
        """Every state from the next one on goes to `watcher` until the returned function is called.

        `close` calls `end`. The first result is what the watcher must be told before: the state with all blocks; None
        when the last one that it has, `after`, is the present one.
        """
        first = None
        if after != self.state.sequence:
            # What the others have not been told yet must not come to this one twice.
            self.publish()
            first = replace(self.state, blocks=BlockChanges(self._blocks.all()))
        self._watchers[watcher] = end
        return first, lambda: self._watchers.pop(watcher, None) and None

    def close(self) -> None:
        """Ends all watches: the last thing a draining worker says."""
        for end in list(self._watchers.values()):
            end()

    async def run(self) -> None:
        """Publishes until cancelled."""
        while True:
            self.publish()
            self._wake.clear()
            waits = {
                asyncio.ensure_future(wait)
                for wait in (self._clock.sleep(self._beat), self._wake.wait(), self._blocks_have_come())
            }
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    async def _blocks_have_come(self) -> None:
        await self._clock.sleep(_GAP_SECONDS)
        await self._came.wait()

    def publish(self) -> None:
        """Takes the state and tells everyone."""
        was, self._sequence = self.state, self._sequence + 1
        self._came.clear()
        self.state = state = self._now(self._blocks.take())
        for watcher in list(self._watchers):
            watcher(state)
        serving = state.healthy and not state.draining
        if serving != (was.healthy and not was.draining):
            for listener in self._listeners:
                listener(serving)

    def _now(self, changes: BlockChanges) -> State:
        load, activity = self._load(), self._activity
        return State(
            sequence=self._sequence,
            running=load.running,
            waiting=load.waiting,
            kv_use=load.kv_use,
            draining=activity.draining,
            healthy=load.healthy and not activity.dead and not self._stalled(load),
            queue_ms=round(activity.queue_ms.mean(self._clock.monotonic())),
            blocks=changes,
            blocks_held=len(self._blocks),
        )

    def _stalled(self, load: EngineLoad) -> bool:
        """Whether calls run and no step has come for too long."""
        now = self._clock.monotonic()
        if self._activity.steps != self._steps or not load.running:
            self._steps, self._moved_at = self._activity.steps, now
        return now - self._moved_at > self._stall
