"""The relay: from the outboxes of all tenants to the usage log.

Every gateway runs one. A tenant's entries are published by one relay at a time, under a lease; what order needs is only
that every batch begins right behind the acknowledged cursor, the lease spares the repeats. The cursor moves after the
acknowledgement, never before, so an entry is published at least once; (tenant, request id, sequence) is its identity.
Nothing on the way of a request waits for any of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from libs.clock import Clock
from libs.errors import PlatformError
from libs.kafka import BrokerRefusedError, KafkaError, RecordRefusedError, TopicUnknownError
from services.gateway.domain.ledger.types import OutboxEntry
from services.gateway.domain.tenant_schedule import TenantSchedule
from services.gateway.ports.ledger import Outbox
from services.gateway.ports.usage import RelayWatch, UsageLog

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """How the relay looks and how much it takes. Times in seconds."""

    # A tenant with nothing to publish is looked at again after the least pause, which doubles up to the most: many
    # tenants that rest cost one read each per `idle_seconds_max`.
    idle_seconds_min: float = 0.25
    idle_seconds_max: float = 10.0
    # How often the list of tenants is read.
    tenants_seconds: float = 5.0
    # Longer than a batch may take; after a publisher's death its tenants rest for so long.
    lease_seconds: float = 30.0
    retry_seconds_min: float = 0.5
    retry_seconds_max: float = 15.0
    # Of one tenant at a time, and how many tenants' entries go into one batch.
    entries_max: int = 500
    tenants_max: int = 64
    # How many tenants are looked at in one turn, in one pipeline.
    looks_max: int = 1_000


class OutboxRelay:
    """Publishes until it is cancelled. `durable` is the operator's word on the broker: only then are entries dropped.

    `holder` names this relay among those of all gateways; no two may share it.
    """

    def __init__(
        self,
        outbox: Outbox,
        log: UsageLog,
        clock: Clock,
        watch: RelayWatch,
        *,
        holder: str,
        durable: bool,
        limits: RelayLimits | None = None,
    ) -> None:
        self._outbox, self._log, self._clock, self._watch = outbox, log, clock, watch
        self._holder, self._durable, self._limits = holder, durable, limits or RelayLimits()
        self._schedule = TenantSchedule(self._limits.idle_seconds_min, self._limits.idle_seconds_max)
        self._cursors: dict[str, str] = {}
        self._waiting_since_us: dict[str, int] = {}
        self._list_at = 0.0
        self._retry = self._limits.retry_seconds_min

    async def run(self) -> None:
        """Never returns, and never raises for a broker or a store that is away."""
        while True:
            try:
                busy = await self.turn()
            except (KafkaError, PlatformError) as error:
                self._watch.failed(_cause(error), str(error))
                await self._clock.sleep(self._retry)
                self._retry = min(self._retry * 2, self._limits.retry_seconds_max)
            else:
                self._retry = self._limits.retry_seconds_min
                await self._clock.sleep(0.0 if busy else self._limits.idle_seconds_min)

    def wake(self, tenant: str) -> None:
        """Something came to this tenant's outbox: it is looked at in the next turn. Never blocks or raises."""
        self._schedule.busy(tenant, self._clock.monotonic())

    def waiting(self) -> int:
        """Tenants that have unpublished entries, as far as this relay has looked."""
        return len(self._waiting_since_us)

    def lag_seconds(self) -> float:
        """Age of the oldest entry that is known to wait, by this machine's clock; 0 when none is."""
        oldest = min(list(self._waiting_since_us.values()), default=0)  # a copy: a scrape asks from its own thread
        return max(self._clock.unix() - oldest / 1_000_000, 0.0) if oldest else 0.0

    async def turn(self) -> bool:
        """Publishes one batch, of those tenants whose time has come; True when there may be more at once.

        Raises KafkaError or PlatformError; then nothing counts as published that was not acknowledged.
        """
        await self._list()
        due = self._schedule.due(self._clock.monotonic(), self._limits.looks_max)
        try:
            waiting = [name for name, waits in zip(due, await _all(map(self._waits, due)), strict=True) if waits]
            now, later = waiting[: self._limits.tenants_max], waiting[self._limits.tenants_max :]
            batches = dict(zip(now, await _all(map(self._take, now)), strict=True))
            self._watch.looked()
            taken = {name: entries for name, entries in batches.items() if entries}
            await self._publish(taken)
        except BaseException:
            for name in due:
                self._put_back(name, self._retry)
            raise
        for name in later:
            self.wake(name)
        return bool(taken or later)

    async def _list(self) -> None:
        now = self._clock.monotonic()
        if now < self._list_at:
            return
        for name in await self._outbox.tenants():
            self._schedule.add(name, now)
        self._list_at = now + self._limits.tenants_seconds

    async def _waits(self, name: str) -> bool:
        """Whether the tenant has entries behind what is known to be published: one read, for those that rest."""
        if name not in self._cursors:
            self._cursors[name] = await self._outbox.cursor(name)
        found = await self._outbox.read(name, self._cursors[name], 1)
        if found:
            self._waiting_since_us[name] = found[0].at_us
        else:
            self._rest(name)
        return bool(found)

    async def _take(self, name: str) -> Sequence[OutboxEntry]:
        """The tenant's next entries; none where another relay publishes them, or has done so."""
        if not await self._outbox.lease(name, self._holder, self._limits.lease_seconds):
            self._put_back(name, self._limits.idle_seconds_max)
            return ()
        # Read under the lease: another relay may have published since.
        self._cursors[name] = await self._outbox.cursor(name)
        entries = await self._outbox.read(name, self._cursors[name], self._limits.entries_max)
        if not entries:
            self._rest(name)
        return entries

    async def _publish(self, taken: Mapping[str, Sequence[OutboxEntry]]) -> None:
        if not taken:
            return
        try:
            await self._log.append([(name, entry) for name, entries in taken.items() for entry in entries])
        except RecordRefusedError:
            await self._publish_apart(taken)
        else:
            await self._acknowledged(taken)

    async def _publish_apart(self, taken: Mapping[str, Sequence[OutboxEntry]]) -> None:
        """One tenant at a time: an entry that the log will not have must not hold up the others."""
        for name, entries in taken.items():
            try:
                await self._log.append([(name, entry) for entry in entries])
            except RecordRefusedError as error:
                self._watch.failed(_cause(error), str(error))
                self._put_back(name, self._limits.retry_seconds_max)
            else:
                await self._acknowledged({name: entries})

    async def _acknowledged(self, taken: Mapping[str, Sequence[OutboxEntry]]) -> None:
        self._watch.published(sum(map(len, taken.values())))
        lasts = {name: entries[-1].id for name, entries in taken.items()}
        await _all(self._outbox.advance(name, upto, trim=self._durable) for name, upto in lasts.items())
        self._cursors.update(lasts)
        for name in taken:
            self._schedule.busy(name, self._clock.monotonic())

    def _rest(self, name: str) -> None:
        self._waiting_since_us.pop(name, None)
        self._schedule.rest(name, self._clock.monotonic())

    def _put_back(self, name: str, seconds: float) -> None:
        self._schedule.later(name, self._clock.monotonic(), seconds)


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results, in order; raises the first error once everything has ended."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


def _cause(error: Exception) -> str:
    if isinstance(error, RecordRefusedError):
        return "record"
    if isinstance(error, BrokerRefusedError | TopicUnknownError):
        return "access"
    return "broker" if isinstance(error, KafkaError) else "store"
