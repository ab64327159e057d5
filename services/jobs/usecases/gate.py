"""Lets requests of jobs through while their pool has room that live calls do not need."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.jobs.domain.gate import GateRule, PoolGate, Told
from services.jobs.domain.waiting import FairWaiting
from services.jobs.ports.neighbours import Capacity
from services.jobs.ports.observing import GateObserver

# Between tries to hear of a pool again, and between looks at who has waited for too long.
LOOK_SECONDS = 1.0
# A pool without requests for so long is not watched any more.
FORGET_SECONDS = 60.0


class NoRoomError(Exception):
    """No room within `held_seconds`: the place in line is given to others."""


@dataclass(frozen=True, slots=True)
class GateLimits:
    """See GateSettings."""

    rule: GateRule
    ageing_seconds: float = 60.0
    held_seconds: float = 120.0


@dataclass(eq=False, slots=True)
class Slot:
    """A request's room. Whoever has it says what came of it."""

    gate: PoolGate
    observer: GateObserver
    clock: Clock
    answered: bool = False

    def refused(self, pause_seconds: float) -> None:
        """There was none after all; nothing is tried there for so long."""
        self.gate.refused(self.clock.monotonic(), pause_seconds)
        self.observer.crowded()


@dataclass(eq=False, slots=True)
class _Waiter:
    since: float
    turn: asyncio.Future[None]
    number: int = 0


@dataclass(eq=False, slots=True)
class _Pool:
    name: str
    gate: PoolGate
    waiting: FairWaiting[_Waiter]
    # Those that wait, oldest first.
    line: dict[int, _Waiter] = field(default_factory=dict)
    used_at: float = 0.0
    watch: asyncio.Task[None] | None = None


class Gate:
    """Used on one event loop. `run` must run beside it. `part` tells this consumer's part of all work, 0 to 1; `wanted`
    whether others want the places of those that wait here: else they may wait for ever.
    """

    def __init__(
        self,
        capacity: Capacity,
        clock: Clock,
        limits: GateLimits,
        observer: GateObserver,
        *,
        part: Callable[[], float] = lambda: 1.0,
        wanted: Callable[[], bool] = lambda: True,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._capacity, self._clock, self._limits, self._observer = capacity, clock, limits, observer
        self._part, self._wanted, self._uniform = part, wanted, uniform
        self._pools: dict[str, _Pool] = {}
        self._figures: Mapping[str, tuple[int, int, int, bool]] = {}

    @asynccontextmanager
    async def room(self, pool: str, tenant: str, priority: int) -> AsyncIterator[Slot]:
        """Waits for room in a pool and has it while inside. Raises NoRoomError."""
        found = self._open(pool)
        await self._turn(found, tenant, priority)
        slot = Slot(found.gate, self._observer, self._clock)
        try:
            yield slot
        finally:
            found.gate.ended(self._clock.monotonic(), answered=slot.answered)
            found.waiting.ended(tenant)
            self._grant(found)

    async def run(self) -> None:
        """Ends waits that took too long, and watches of pools that nobody asks for. Until cancelled."""
        try:
            while True:
                await self._clock.sleep(LOOK_SECONDS)
                now = self._clock.monotonic()
                for pool in list(self._pools.values()):
                    self._expire(pool, now)
                    self._grant(pool)
                    await self._forget_unused(pool, now)
                self._note_figures(now)
        finally:
            await self.close()

    async def close(self) -> None:
        """Ends all watches. A repeat does nothing."""
        tasks = [pool.watch for pool in self._pools.values() if pool.watch is not None]
        self._pools.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def figures(self) -> Mapping[str, tuple[int, int, int, bool]]:
        """By pool: requests that may begin, that have room, that wait; whether its capacity is known.

        As of the last second, and from any thread.
        """
        return self._figures

    def _note_figures(self, now: float) -> None:
        self._figures = {
            name: (pool.gate.room(now), pool.gate.own, len(pool.line), pool.gate.heard(now))
            for name, pool in self._pools.items()
        }

    def _open(self, name: str) -> _Pool:
        pool = self._pools.get(name)
        if pool is None:
            pool = _Pool(name, PoolGate(self._limits.rule, self._uniform), FairWaiting(self._limits.ageing_seconds))
            self._pools[name] = pool
            pool.watch = asyncio.create_task(self._watch(pool), name=f"capacity of {name}")
        pool.used_at = self._clock.monotonic()
        return pool

    async def _turn(self, pool: _Pool, tenant: str, priority: int) -> None:
        now = self._clock.monotonic()
        waiter = _Waiter(now, asyncio.get_running_loop().create_future())
        waiter.number = pool.waiting.push(tenant, priority, now, waiter)
        pool.line[waiter.number] = waiter
        self._grant(pool)
        try:
            await waiter.turn
        except BaseException:
            self._leave(pool, waiter, tenant)
            raise
        finally:
            self._observer.held(self._clock.monotonic() - now)

    def _leave(self, pool: _Pool, waiter: _Waiter, tenant: str) -> None:
        """A waiter goes without having used its turn."""
        if pool.line.pop(waiter.number, None) is not None:
            pool.waiting.remove(waiter.number)
        elif waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None:
            pool.gate.ended(self._clock.monotonic())  # cancelled in the turn in which it was let through
            pool.waiting.ended(tenant)
            self._grant(pool)

    def _grant(self, pool: _Pool) -> None:
        now = self._clock.monotonic()
        pool.gate.part = self._part()
        for _ in range(min(pool.gate.room(now), len(pool.line))):
            popped = pool.waiting.pop()
            if popped is None:
                return
            tenant, waiter = popped
            del pool.line[waiter.number]
            if waiter.turn.done():  # cancelled, and its task has not run yet
                pool.waiting.ended(tenant)
                continue
            pool.gate.began(now)
            waiter.turn.set_result(None)

    def _expire(self, pool: _Pool, now: float) -> None:
        for waiter in list(pool.line.values()):
            if now - waiter.since < self._limits.held_seconds or not self._wanted():
                break
            del pool.line[waiter.number]
            pool.waiting.remove(waiter.number)
            if not waiter.turn.done():
                waiter.turn.set_exception(NoRoomError(f"{pool.name} had no room for jobs"))

    async def _forget_unused(self, pool: _Pool, now: float) -> None:
        if pool.gate.own or pool.line:
            pool.used_at = now
        if now - pool.used_at < FORGET_SECONDS or pool.watch is None:
            return
        self._pools.pop(pool.name, None)
        pool.watch.cancel()
        await asyncio.gather(pool.watch, return_exceptions=True)

    async def _watch(self, pool: _Pool) -> None:
        while True:
            try:
                async with aclosing(self._capacity.watch(pool.name)) as words:
                    async for word in words:
                        told = Told(word.idle, word.running, word.waiting, word.wait_ms)
                        pool.gate.tell(self._clock.monotonic(), told)
                        self._grant(pool)
            except PlatformError as error:
                if error.reason is Reason.MODEL_NOT_FOUND:
                    pool.gate.unknown()
                    self._grant(pool)
            await self._clock.sleep(LOOK_SECONDS * (0.5 + self._uniform() / 2))
