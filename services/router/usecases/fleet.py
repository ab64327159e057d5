"""The workers, for those who feed it (the subscriptions) and those who ask it (placement, watchers)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.router.domain.catalog import Catalog, Entry, Pool
from services.router.domain.ejection import Ejection
from services.router.domain.registry import Registry, Verdict
from services.router.domain.worker import Description, StateMessage, Worker

# Blocks of a snapshot that are taken in at once: a millisecond or two.
PART_BLOCKS = 4096


class Fleet:
    """The registry with a clock, and news of its changes: one call per listener and event-loop tick."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._listeners: set[Callable[[], None]] = set()
        self._announced = registry.generation
        self._scheduled = False
        # By name and boot id, of one generation of the registry: reports ask for each worker, several times a second.
        self._lives: dict[str, dict[str, Worker]] = {}
        self._lives_of = -1

    @property
    def catalog(self) -> Catalog:
        """The names that can be placed now."""
        return self._registry.catalog

    @property
    def workers(self) -> Collection[Worker]:
        """All workers of the settings, whatever their state."""
        return self._registry.workers.values()

    def lives(self, name: str) -> Mapping[str, Worker]:
        """Workers of that name by boot id: one, two while a replacement overlaps, or none."""
        if self._lives_of != self._registry.generation:
            self._lives_of, self._lives = self._registry.generation, {}
            for worker in self.workers:
                self._lives.setdefault(worker.name, {})[worker.boot_id] = worker
        return self._lives.get(name, {})

    def entry(self, model: str) -> Entry:
        """What is known of a name. Raises PlatformError(MODEL_NOT_FOUND)."""
        entry = self._registry.catalog.entries.get(model)
        if entry is None:
            raise self._not_found(model)
        return entry

    def pool(self, model: str, digest: str) -> Pool:
        """The non-empty pool of a name and a digest ("" = the one for new sessions).

        Raises PlatformError: MODEL_NOT_FOUND, NO_WORKER when nobody serves the name now, WRONG_DIGEST when somebody
        does, with another digest; all of them before any work.
        """
        entry = self.entry(model)
        pool = entry.variants.get(digest) if digest else entry.default
        if pool is not None and pool.workers:
            return pool
        if not entry.default.workers:
            why = f"No worker serves {model!r} at the moment: all of them are lost, draining or unhealthy. Retry soon."
            raise PlatformError(Reason.NO_WORKER, why, retry_after_seconds=1.0, started=False)
        why = f"No live worker of {model!r} has digest {digest[:12]}…: build the prompt for the current digest."
        raise PlatformError(Reason.WRONG_DIGEST, why, started=False)

    def heard(self, address: str, message: StateMessage) -> Verdict:
        """See Registry."""
        verdict = self._registry.heard(address, message, self._clock.monotonic())
        self._announce_later()
        return verdict

    async def heard_in_parts(self, address: str, message: StateMessage) -> Verdict:
        """As `heard`; the blocks of a long snapshot are taken in beside what is known, between the loop's other work.

        Until all of them are there, the worker is what it was before.
        """
        stored = message.stored
        if not message.snapshot or stored is None or len(stored) <= PART_BLOCKS:
            return self.heard(address, message)
        index = self._registry.caches.index
        slot = index.take()
        try:
            for first in range(0, len(stored), PART_BLOCKS):
                index.store(slot, stored[first : first + PART_BLOCKS])
                self._registry.still_reading(address, self._clock.monotonic())
                await self._clock.sleep(0)
        except BaseException:
            index.give_back(slot)
            raise
        return self.heard(address, replace(message, slot=slot))

    def described(self, address: str, description: Description) -> None:
        """See Registry."""
        self._registry.described(address, description)
        self._announce_later()

    def lost(self, address: str) -> None:
        """See Registry."""
        self._registry.lost(address)
        self._announce_later()

    def sweep(self) -> None:
        """See Registry."""
        self._registry.sweep(self._clock.monotonic())
        self._announce_later()

    def drifted(self, worker: Worker) -> None:
        """See Registry."""
        self._registry.drifted(worker)

    def eject(self, ejection: Ejection) -> list[Worker]:
        """See Registry."""
        changed = self._registry.eject(ejection, self._clock.monotonic())
        self._announce_later()
        return changed

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """Calls `listener` after changes of who can be placed on, until the block ends. It must not raise."""
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    def _announce_later(self) -> None:
        if self._registry.generation != self._announced and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._announce)

    def _announce(self) -> None:
        self._scheduled = False
        self._announced = self._registry.generation
        for listener in list(self._listeners):
            listener()

    def _not_found(self, model: str) -> PlatformError:
        known = ", ".join(self._registry.catalog.entries) or "none yet: no worker has reported"
        return PlatformError(
            Reason.MODEL_NOT_FOUND,
            f"There is no model or pool {model!r}. Known: {known}.",
            started=False,
            param="model",
        )
