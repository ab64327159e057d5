"""Tells others what a pool could take, for work that can wait for room."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from libs.clock import Clock
from services.router.domain.capacity import Capacity, capacity
from services.router.domain.worker import Worker
from services.router.usecases.fleet import Fleet

# Changes come together within this time; without any, the state is told again after a second.
_LOOK_SECONDS = 0.1
_LOOKS_PER_WORD = 10


class CapacityWatch:
    """Looks at the workers ten times a second for each watcher: a change costs them less than news of each would."""

    def __init__(self, fleet: Fleet, clock: Clock) -> None:
        self._fleet = fleet
        self._clock = clock

    async def watch(self, pool: str) -> AsyncGenerator[Capacity, None]:
        """Capacity of a name: at once, after changes, and once a second. Never ends by itself.

        A name whose workers are all away has no capacity. PlatformError(MODEL_NOT_FOUND) for one that nobody ever had.
        """
        told, silent = None, 0
        while True:
            seen = capacity(self._workers(pool))
            silent += 1
            if seen != told or silent >= _LOOKS_PER_WORD:
                told, silent = seen, 0
                yield seen
            await self._clock.sleep(_LOOK_SECONDS)

    def _workers(self, pool: str) -> list[Worker]:
        """All that may be placed on, of all variants."""
        entry = self._fleet.entry(pool)
        return [worker for variant in entry.variants.values() for worker in variant.workers]
