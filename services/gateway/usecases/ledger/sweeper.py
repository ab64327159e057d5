"""Ends holds whose gateway is gone: at what the workers say they sent, else at the last progress that was reported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from libs.clock import Clock
from libs.errors import PlatformError
from libs.telemetry import get_logger
from services.gateway.domain.ledger.holds import charged_as, request_of
from services.gateway.domain.ledger.pricing import used
from services.gateway.domain.ledger.types import End, Overdue, Progress, Settlement
from services.gateway.domain.sent import Sent
from services.gateway.metrics import LedgerMetrics
from services.gateway.ports import Leases, Outbox
from services.gateway.ports.sent import SentCounts

_BATCH = 200
_TENANTS_AT_ONCE = 200
_log = get_logger("gateway.ledger")


@dataclass(frozen=True, slots=True)
class SweepTimes:
    """Seconds between two looks, and between two lists of tenants."""

    every: float = 1.0
    tenants_every: float = 15.0

    @classmethod
    def within(cls, lease: float, grace: float) -> SweepTimes:
        """Times that leave workers some tries to answer in the grace, after which holds end at what was reported.

        Tenants are listed once a lease: a new one is known when its first hold can be overdue.
        """
        usual = cls()
        return cls(min(usual.every, grace / 4), min(usual.tenants_every, lease))


class Sweeper:
    """Every gateway runs one; each hold is ended once, whoever comes first. `may_expire`, `may_guess`: LedgerKeeper."""

    def __init__(
        self,
        leases: Leases,
        outbox: Outbox,
        sent: SentCounts,
        clock: Clock,
        times: SweepTimes,
        may_expire: Callable[[], bool],
        may_guess: Callable[[], bool],
        metrics: LedgerMetrics,
    ) -> None:
        self._leases = leases
        self._outbox = outbox
        self._sent = sent
        self._clock = clock
        self._times = times
        self._may_expire = may_expire
        self._may_guess = may_guess
        self._metrics = metrics
        self._tenants: Sequence[str] = ()

    async def run(self) -> None:
        """For ever."""
        listed_at = float("-inf")
        while True:
            await self._clock.sleep(self._times.every)
            if not self._may_expire():
                continue
            try:
                if self._clock.monotonic() - listed_at >= self._times.tenants_every:
                    self._tenants, listed_at = await self._outbox.tenants(), self._clock.monotonic()
                for at in range(0, len(self._tenants), _TENANTS_AT_ONCE):
                    await self._sweep_all(self._tenants[at : at + _TENANTS_AT_ONCE])
            except PlatformError:
                continue  # the store is away; nothing is lost by waiting

    async def _sweep_all(self, tenants: Sequence[str]) -> None:
        """Together, so that a worker that does not answer delays no other tenant. Raises STORE_UNAVAILABLE.

        What is wrong with one tenant's records must not keep the holds of all others: it is told, and passed over.
        """
        found = await asyncio.gather(*map(self.sweep, tenants), return_exceptions=True)
        for tenant, result in zip(tenants, found, strict=True):
            if isinstance(result, PlatformError | asyncio.CancelledError):
                raise result
            if isinstance(result, BaseException):
                _log.error("ledger: a tenant cannot be swept", tenant=tenant, error=type(result).__name__)

    async def sweep(self, tenant: str) -> int:
        """Ends what is overdue of a tenant; how many. Raises STORE_UNAVAILABLE."""
        overdue = await self._leases.overdue(tenant, _BATCH)
        if not overdue:
            return 0
        answer = await self._sent.ask([request_of(hold.request_id) for hold in overdue])
        ended = 0
        if answer.complete:
            for hold in overdue:
                sent = answer.sent.get(request_of(hold.request_id))
                if sent is not None or hold.age_us < answer.covers_seconds * 1_000_000:
                    ended += await self._end(tenant, hold, sent)
        # What nobody could say for the length of the grace ends at what was reported.
        if self._may_guess():
            ended += await self._leases.expire(tenant, _BATCH)
        if ended:
            self._metrics.ended(End.EXPIRED.value, ended)
            _log.warning("ledger: holds expired", tenant=tenant, calls=ended, why="their gateway is gone")
        return ended

    async def _end(self, tenant: str, hold: Overdue, sent: Sent | None) -> bool:
        if sent is None:
            # It has never reached a worker, but where a worker is lost too that it had reached.
            return await self._charge(tenant, hold, hold.progress if hold.progress.completion_tokens > 0 else None)
        if sent.running:
            return False  # more may come; it is asked again
        # An engine that counts for itself says only at the end what the prompt was.
        prompt = sent.prompt_tokens or hold.progress.prompt_tokens
        progress = used(hold.meta, prompt, sent.cached_tokens, sent.completion_tokens)
        return await self._charge(tenant, hold, progress)

    async def _charge(self, tenant: str, hold: Overdue, progress: Progress | None) -> bool:
        """Charges what the whole request has used; None = nothing."""
        charged = charged_as(hold.request_id)
        if progress is not None and charged == hold.request_id:
            return await self._leases.end(tenant, hold, End.EXPIRED, progress)
        if not await self._leases.end(tenant, hold, End.REFUNDED, Progress()):
            return False
        if progress is not None:
            # An earlier gateway was lost too, and its part is charged: that is corrected to the whole.
            await self._leases.settle([Settlement(tenant, charged, End.SETTLED, progress)])
        return True
