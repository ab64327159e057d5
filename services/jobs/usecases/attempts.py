"""Attempts as the store sees them: begun, renewed while they live, and every effect under their epoch.

What many parts ask in one moment goes to the store in one call per tenant. While the store is away everybody waits for
it: a result in hand is worth more than the place of its part in the consumer.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from libs.clock import Clock
from libs.errors import PlatformError
from libs.telemetry import get_logger
from services.jobs.domain.agenda import Task
from services.jobs.domain.attempt import BeginAsk, Begun, Effect, PartKey, Renewal, Return, Verdict
from services.jobs.domain.job import Job, PartSpec, StepResult
from services.jobs.ports.observing import AttemptObserver
from services.jobs.ports.store import Agenda, Attempts
from services.jobs.usecases.coalesce import Coalescer
from services.jobs.usecases.patience import patiently

T = TypeVar("T")
# After these an attempt may write nothing more.
OVER = frozenset({Verdict.STALE, Verdict.ENDED, Verdict.UNKNOWN})

_log = get_logger("jobs.attempts")


@dataclass(eq=False, slots=True)
class Attempt:
    """One attempt at a part, in this process. `tokens`: by step, of answers that are being made; a step is in there
    while a gateway has been asked. `over`: why it must stop; `stopped` is set then.
    """

    tenant: str
    key: PartKey
    epoch: int
    job: Job
    part: PartSpec
    tokens: dict[int, int] = field(default_factory=dict)
    over: Verdict | None = None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self, verdict: Verdict) -> None:
        """It may write nothing more."""
        if self.over is None:
            self.over = verdict
            self.stopped.set()


@dataclass(frozen=True, slots=True)
class AttemptTimes:
    """See AttemptSettings."""

    lease_seconds: float = 15.0
    attempts_max: int = 8

    @property
    def lease_ms(self) -> int:
        """As the store takes it."""
        return int(self.lease_seconds * 1000)


class AttemptDesk:
    """All attempts of this process, which is called `owner`. `run` must run beside it.

    `wake` is told each tenant whose jobs have changed here, since they may owe something.
    """

    def __init__(
        self,
        store: Attempts,
        agenda: Agenda,
        clock: Clock,
        times: AttemptTimes,
        observer: AttemptObserver,
        *,
        owner: str,
        wake: Callable[[str], None] = lambda _: None,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._store, self._agenda, self._clock, self._times, self._observer = store, agenda, clock, times, observer
        self._owner, self._wake, self._uniform = owner, wake, uniform
        self._numbers = count(1)
        self._begins: Coalescer[BeginAsk, Begun] = Coalescer(store.begin, "begin")
        self._effects: Coalescer[Effect, Verdict] = Coalescer(store.apply, "apply")
        self._returns: Coalescer[Return, Verdict] = Coalescer(store.put_back, "put back")
        self._open: set[Attempt] = set()
        self._leaving: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Attempts under way."""
        return len(self._open)

    @property
    def calls(self) -> int:
        """Requests that gateways have been asked."""
        return sum(len(attempt.tokens) for attempt in self._open)

    async def begin(self, tenant: str, key: PartKey, *, replayed: bool) -> Begun:
        """Records an attempt, before any of its work. Waits for a store that is away."""
        times = self._times
        owner = f"{self._owner}:{next(self._numbers)}"
        ask = BeginAsk(key, owner, times.lease_ms, times.attempts_max, replayed)
        begun = await self._patiently(lambda: self._begins.ask(tenant, ask))
        self._observer.begun(begun.verdict)
        return begun

    @asynccontextmanager
    async def open(self, attempt: Attempt) -> AsyncIterator[None]:
        """Renews the attempt inside. One that is cancelled (its partition goes to another consumer, the process ends)
        gives its part back, so that an orderly stop does not count as a death.
        """
        self._open.add(attempt)
        try:
            yield
        except asyncio.CancelledError:
            if attempt.over is None:
                self._leave(attempt)
            raise
        finally:
            self._open.discard(attempt)

    async def apply(self, attempt: Attempt, results: Sequence[StepResult]) -> Verdict:
        """Keeps results, or stops the attempt. Waits for a store that is away."""
        effect = Effect(attempt.key, attempt.epoch, tuple(results))
        verdict = await self._patiently(lambda: self._effects.ask(attempt.tenant, effect))
        self._heed(attempt, verdict, "apply")
        self._wake(attempt.tenant)
        return verdict

    async def put_back(
        self, attempt: Attempt, *, dead: Iterable[StepResult] | None = None, again_seconds: float | None = None
    ) -> Verdict:
        """Gives the part back: with `dead`, for good; with `again_seconds`, to be sent again after so long."""
        ask = Return(attempt.key, attempt.epoch, dead is not None, tuple(dead or ()))
        verdict = await self._patiently(lambda: self._returns.ask(attempt.tenant, ask))
        self._heed(attempt, verdict, "put_back")
        if again_seconds is not None and verdict is Verdict.APPLIED:
            job, part = attempt.key.job, attempt.key.part
            at = int(again_seconds * 1000)
            await self._patiently(lambda: self._agenda.later(attempt.tenant, job, Task.SEND, at, part))
        self._wake(attempt.tenant)
        return verdict

    async def run(self) -> None:
        """Renews, three times a lease, until cancelled."""
        while True:
            await self._clock.sleep(self._times.lease_seconds / 3)
            await self.renew()

    async def renew(self) -> None:
        """Renews all open attempts: one call per tenant. A store that is away is asked the next time."""
        tenants: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in self._open:
            if attempt.over is None:
                tenants[attempt.tenant].append(attempt)
        await asyncio.gather(*(self._renew(tenant, attempts) for tenant, attempts in tenants.items()))

    async def close(self) -> None:
        """Waits for parts that are being given back."""
        await asyncio.gather(*self._leaving, return_exceptions=True)

    async def _renew(self, tenant: str, attempts: Sequence[Attempt]) -> None:
        asks = [Renewal(each.key, each.epoch, self._times.lease_ms, sum(each.tokens.values())) for each in attempts]
        try:
            verdicts = await self._store.renew(tenant, asks)
        except PlatformError as error:
            _log.warning("leases were not renewed", why=error.message)
            return
        for attempt, verdict in zip(attempts, verdicts, strict=True):
            self._heed(attempt, verdict, "renew")

    def _heed(self, attempt: Attempt, verdict: Verdict, kind: str) -> None:
        if verdict in OVER:
            if verdict is Verdict.STALE and attempt.over is None:
                self._observer.late(kind)
            attempt.stop(verdict)

    def _leave(self, attempt: Attempt) -> None:
        task = asyncio.create_task(self._give_back(attempt), name="give a part back")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _give_back(self, attempt: Attempt) -> None:
        """Once: who comes next takes the part over in any case."""
        ask = Return(attempt.key, attempt.epoch)
        try:
            if await self._returns.ask(attempt.tenant, ask) is Verdict.APPLIED:
                job, part = attempt.key.job, attempt.key.part
                await self._agenda.later(attempt.tenant, job, Task.SEND, self._times.lease_ms, part)
        except PlatformError as error:
            _log.warning("a part was not given back", why=error.message)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        return await patiently(call, self._clock, self._uniform)
