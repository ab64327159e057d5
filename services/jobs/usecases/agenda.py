"""Does what is due for jobs, whoever left it undone: the agenda in the store is the only timer that there is."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from libs.clock import Clock
from libs.errors import PlatformError
from libs.telemetry import get_logger
from services.jobs.domain.agenda import Due, Task
from services.jobs.ports.observing import AgendaObserver
from services.jobs.ports.store import Agenda

# Tenants that are looked at, and things that are done, at the same time.
TENANTS_AT_ONCE = 16
DOING_MAX = 200
# These wait for outsiders, who may be slow on purpose: they get a part of the room, and so hold up each other alone.
# What finds it full is due again after its lease, within which all that is in it should be called (64 in 10 s).
SLOW = frozenset({Task.HOOK})
SLOW_MAX = 128
# A tenant of which something was done here is looked at so soon again: what follows each other is taken together.
WAKE_SECONDS = 0.02
# Looks in vain that a replica may cost the store: with many tenants that rest, each is looked at more seldom.
LOOKS_PER_SECOND = 500
# Who the tenants are is asked so often; those of jobs that come by this process are known at once.
TENANTS_SECONDS = 5.0

_log = get_logger("jobs.agenda")

# Does what is due together for one tenant, of one kind. Raises nothing but PlatformError and KafkaError.
Doing = Callable[[str, Sequence[Due]], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class AgendaLimits:
    """See AgendaSettings."""

    pace_seconds: float = 0.25
    pace_seconds_max: float = 5.0
    claim_max: int = 100
    lease_seconds: float = 30.0

    @property
    def lease_ms(self) -> int:
        """As the store takes it."""
        return int(self.lease_seconds * 1000)


@dataclass(slots=True)
class _Tenant:
    at: float
    pause: float


@dataclass(eq=False, slots=True)
class Sweeper:
    """Claims what is due, tenant by tenant, and has it done. One per process; `run` must run."""

    agenda: Agenda
    # How each task is done; all tasks of a kind that were claimed together are done together.
    doing: dict[Task, Doing]
    clock: Clock
    limits: AgendaLimits
    observer: AgendaObserver
    _tenants: dict[str, _Tenant] = field(default_factory=dict)
    _here: set[Due] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _asked_at: float = float("-inf")

    def wake(self, tenant: str) -> None:
        """A job of that tenant has changed: it may owe something."""
        at = self.clock.monotonic() + WAKE_SECONDS
        known = self._tenants.get(tenant)
        if known is None or known.at > at:
            self._tenants[tenant] = _Tenant(at, self.limits.pace_seconds)
            self._woken.set()

    async def run(self) -> None:
        """Until cancelled. A store that is away is waited for."""
        try:
            while True:
                await self._ask_tenants()
                await self._sweep_due()
                await self._rest()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask_tenants(self) -> None:
        now = self.clock.monotonic()
        if now - self._asked_at < TENANTS_SECONDS:
            return
        self._asked_at = now
        try:
            found = await self.agenda.tenants()
        except PlatformError as error:
            _log.warning("the agenda waits for the store", why=error.message)
            return
        for tenant in found:
            self._tenants.setdefault(tenant, _Tenant(now, self.limits.pace_seconds))
        for tenant in self._tenants.keys() - set(found):
            del self._tenants[tenant]

    async def _sweep_due(self) -> None:
        now = self.clock.monotonic()
        due = sorted((each.at, tenant) for tenant, each in self._tenants.items() if each.at <= now)
        for start in range(0, len(due), TENANTS_AT_ONCE):
            await asyncio.gather(*(self._sweep(tenant) for _, tenant in due[start : start + TENANTS_AT_ONCE]))

    async def _sweep(self, tenant: str) -> None:
        """Looks at a tenant once, and says when next: at once while there is more, later and later where is nothing."""
        state, limits, room = self._tenants[tenant], self.limits, DOING_MAX - len(self._here)
        claimed: Sequence[Due] = ()
        # Set before the look: who wakes it meanwhile sets it again.
        state.at = self.clock.monotonic() + state.pause
        if room > 0:
            try:
                claimed = await self.agenda.claim(tenant, min(limits.claim_max, room), limits.lease_ms)
            except PlatformError:
                claimed = ()
        if claimed:
            state.pause = limits.pace_seconds
            state.at = min(state.at, self.clock.monotonic() + WAKE_SECONDS)
            self._begin(tenant, claimed)
        else:
            seldom = max(limits.pace_seconds_max, len(self._tenants) / LOOKS_PER_SECOND)
            state.pause = min(2 * state.pause, seldom)

    def _begin(self, tenant: str, claimed: Sequence[Due]) -> None:
        """Has it done beside the sweep. What takes longer than its lease is claimed again: it is under way here."""
        kinds: dict[Task, list[Due]] = defaultdict(list)
        room = SLOW_MAX - sum(due.task in SLOW for due in self._here)
        for due in claimed:
            if due in self._here or due.task not in self.doing:
                continue
            if due.task not in SLOW:
                kinds[due.task].append(due)
            elif room > 0:
                room -= 1
                kinds[due.task].append(due)
        for task, dues in kinds.items():
            self._here.update(dues)
            work = asyncio.create_task(self._do(tenant, task, dues), name=f"{task} of {tenant}")
            self._tasks.add(work)
            work.add_done_callback(self._tasks.discard)

    async def _do(self, tenant: str, task: Task, dues: Sequence[Due]) -> None:
        try:
            await self.doing[task](tenant, dues)
        except Exception as error:  # it stays on the agenda, and is due again after the lease
            self.observer.did(task, "failed", len(dues))
            _log.warning("not done, and due again", task=task, count=len(dues), why=str(error) or type(error).__name__)
        else:
            self.observer.did(task, "done", len(dues))
        finally:
            self._here.difference_update(dues)

    async def _rest(self) -> None:
        """Until the next look is due, or somebody wakes it."""
        self._woken.clear()
        now = self.clock.monotonic()
        next_at = min((each.at for each in self._tenants.values()), default=now + TENANTS_SECONDS)
        seconds = max(0.0, min(next_at, self._asked_at + TENANTS_SECONDS) - now)
        timer = asyncio.create_task(self.clock.sleep(seconds), name="agenda rests")
        woken = asyncio.create_task(self._woken.wait(), name="agenda is woken")
        try:
            await asyncio.wait({timer, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            woken.cancel()
            await asyncio.gather(timer, woken, return_exceptions=True)
