"""Keeps this gateway's holds: renews their leases, and sees to it that every end reaches the store.

What was held or ended is remembered until the store has it for sure, and declared again where it may have lost it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

from libs.clock import Clock
from libs.errors import PlatformError
from libs.telemetry import get_logger
from services.gateway.domain.ledger.told import refused
from services.gateway.domain.ledger.types import Ask, End, HoldReply, Outcome, Progress, Settlement
from services.gateway.metrics import LedgerMetrics
from services.gateway.ports import Census, Holds
from services.gateway.usecases.ledger.lives import Lives

_log = get_logger("gateway.ledger")
_BATCH = 200
_RETRY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class KeeperLimits:
    """Times in seconds. `lease` and `grace` as the store has them; holds are renewed three times in a lease.

    `sure`: an acknowledged end may be lost for so long, by a store that syncs every second. `give_up`: the store
    remembers ended holds for an hour; an end that could not be told for so long was charged when its lease ended.
    """

    lease: float = 15.0
    sure: float = 3.0
    barrier: float = 3.0
    give_up: float = 3000.0
    grace: float = 10.0


@dataclass(slots=True)
class _Live:
    """A running hold. `ask` has its present amount."""

    ask: Ask
    at_us: int
    progress: Callable[[], Progress]
    renewed_at: float
    ended: bool = False


@dataclass(slots=True)
class _Ended:
    """The end of a hold on its way to the store."""

    ask: Ask
    at_us: int
    settlement: Settlement
    at: float


class LedgerKeeper:
    """See ports.Ledger. `run` and `lives.follow` must run beside it."""

    def __init__(
        self, holds: Holds, census: Census, clock: Clock, name: str, limits: KeeperLimits, metrics: LedgerMetrics
    ) -> None:
        self._holds = holds
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._live: dict[str, _Live] = {}
        self._ending: OrderedDict[str, _Ended] = OrderedDict()
        self._recent: deque[_Ended] = deque()
        self._work = asyncio.Event()
        self._on_told: Callable[[str], None] = _nobody
        barrier, gap = limits.barrier, limits.lease / 3
        self.lives = Lives(census, clock, name, self._declare, barrier_seconds=barrier, gap_seconds=gap)
        metrics.watch(lambda: len(self._live), lambda: len(self._ending))

    def listen(self, told: Callable[[str], None]) -> None:
        """`told` hears the tenant of every end that the store has: there is something in its outbox."""
        self._on_told = told

    async def hold(self, ask: Ask, progress: Callable[[], Progress]) -> HoldReply:
        """See ports.Ledger."""
        life = self.lives.name()
        try:
            reply = await self._holds.hold(life, ask, expire=self.may_guess())
        except (PlatformError, asyncio.CancelledError):
            # It may have been held all the same. What a lost gateway held is not free for that: it ends by its lease.
            if not ask.inherited:
                self._end(_Ended(ask, 0, Settlement(ask.tenant, ask.request_id, End.REFUNDED), self._clock.monotonic()))
            self._metrics.held("unavailable")
            raise
        self._metrics.held(reply.outcome.value if reply.refusal is None else reply.refusal.kind)
        if reply.outcome is Outcome.LIFE:
            self.lives.over()
            life = self.lives.name()  # raises
        if reply.refusal is not None:
            raise refused(reply.refusal, reply.standing)
        if reply.outcome is Outcome.ENDED:
            return reply
        if reply.amount != ask.amount or reply.tokens != ask.tokens:
            ask = replace(ask, amount=reply.amount, tokens=reply.tokens)
        self._live[ask.request_id] = _Live(ask, reply.at_us, progress, self._clock.monotonic())
        return reply

    async def extend(self, ask: Ask, amount: int, tokens: int, progress: Progress) -> Outcome:
        """See ports.Ledger."""
        live = self._live.get(ask.request_id)
        if live is None or live.ended:
            return Outcome.ENDED
        outcome = await self._holds.extend(self.lives.name(), live.ask, amount, tokens, progress)
        if outcome is Outcome.OK:
            live.ask = replace(live.ask, amount=live.ask.amount + amount, tokens=live.ask.tokens + tokens)
            live.renewed_at = self._clock.monotonic()
            return outcome
        self._note(live, outcome)
        if outcome in (Outcome.LIFE, Outcome.UNKNOWN):
            self.lives.name()  # raises: it is being declared again
        return outcome

    def settle(self, ask: Ask, settlement: Settlement) -> None:
        """See ports.Ledger."""
        live = self._live.pop(ask.request_id, None)
        held, at_us = (live.ask, live.at_us) if live is not None else (ask, 0)
        self._end(_Ended(held, at_us, settlement, self._clock.monotonic()))

    def leave(self, ask: Ask) -> None:
        """See ports.Ledger."""
        self._live.pop(ask.request_id, None)

    def may_expire(self) -> bool:
        """Whether holds that look overdue are: their gateways have had a whole lease to renew them."""
        return self.lives.open and self.lives.contact_seconds() >= self._limits.lease

    def may_guess(self) -> bool:
        """Whether what is overdue by the grace may end at its last report: the workers could be asked for as long.

        While the store was away they could not.
        """
        could_ask = min(self.lives.contact_seconds() - self._limits.lease, self.lives.open_seconds())
        return self.lives.open and could_ask >= self._limits.grace

    async def run(self) -> None:
        """For ever: tells the store of ends, and renews leases."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell_ends())
            group.create_task(self._renew())

    async def close(self, seconds: float) -> None:
        """Tells the store of what has ended, for so long at most. What is left expires at what the workers sent."""
        until = self._clock.monotonic() + seconds
        while self._ending and self._clock.monotonic() < until:
            if not await self._tell(list(self._ending.values())[:_BATCH]):
                # A store that is away is refused without a wait: its probe needs the loop to find it back.
                await self._clock.sleep(_RETRY_SECONDS)
        with contextlib.suppress(PlatformError):
            await self.lives.leave()
        if self._ending:
            _log.error("ledger: ends not told", calls=len(self._ending), what="charged when their lease ends")

    def _note(self, live: _Live, outcome: Outcome) -> None:
        """What an answer about a running hold means for it."""
        if outcome is Outcome.ENDED:
            live.ended = True
        elif outcome in (Outcome.LIFE, Outcome.UNKNOWN):
            self.lives.over()

    def _end(self, ended: _Ended) -> None:
        self._ending[ended.ask.request_id] = ended
        self._work.set()

    async def _tell_ends(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._ending:
                if not await self._tell(list(self._ending.values())[:_BATCH]):
                    await self._clock.sleep(_RETRY_SECONDS)

    async def _tell(self, ends: list[_Ended]) -> bool:
        """Tells the store of some ends; False when it does not answer."""
        try:
            outcomes = await self._holds.settle([ended.settlement for ended in ends])
        except PlatformError:
            outcomes = [None] * len(ends)
        now = self._clock.monotonic()
        for ended, outcome in zip(ends, outcomes, strict=True):
            if outcome is Outcome.UNKNOWN:
                # A life that never heard of it: the hold is declared first, then its end.
                await self._declare_ended(ended)
            elif outcome is not None:
                self._told(ended, now)
            elif now - ended.at > self._limits.give_up:
                self._ending.pop(ended.ask.request_id, None)
                _log.error("ledger: end not told", request_id=ended.ask.request_id, why="the store was away too long")
        return None not in outcomes

    def _told(self, ended: _Ended, now: float) -> None:
        if self._ending.get(ended.ask.request_id) is ended:
            del self._ending[ended.ask.request_id]
        self._metrics.ended(ended.settlement.end.value)
        self._on_told(ended.ask.tenant)
        ended.at = now
        self._recent.append(ended)
        while self._recent and not self._may_be_lost(self._recent[0]):
            self._recent.popleft()

    def _may_be_lost(self, ended: _Ended) -> bool:
        """Whether the store may forget it: it was told when its life was nearly over, however long ago that is."""
        return ended.at >= self.lives.sure_until - self._limits.sure

    async def _declare_ended(self, ended: _Ended) -> None:
        try:
            life = self.lives.name()
            if await self._holds.redeclare(life, ended.ask, ended.at_us, ended.settlement.progress) is Outcome.LIFE:
                self.lives.over()
        except PlatformError:
            await self._clock.sleep(_RETRY_SECONDS)

    async def _declare(self, life: str) -> None:
        """Declares running holds, and the ends that a store may have lost; see Lives."""
        recent = [ended for ended in self._recent if self._may_be_lost(ended)]
        lives = list(self._live.values())
        for at in range(0, len(lives), _BATCH):
            await _all([self._declare_live(life, live) for live in lives[at : at + _BATCH]])
        ends = [one for one in [*recent, *self._ending.values()] if one.settlement.end is not End.REFUNDED]
        for at in range(0, len(ends), _BATCH):
            await _all(
                [
                    self._holds.redeclare(life, ended.ask, ended.at_us, ended.settlement.progress)
                    for ended in ends[at : at + _BATCH]
                ]
            )
        for ended in recent:
            self._end(ended)
        # Before anything is held: what they leave of their holds is free, and others have been given it.
        for at in range(0, len(recent), _BATCH):
            await self._tell(recent[at : at + _BATCH])
        if self._live or recent:
            _log.info("ledger declared anew", life=life, running=len(self._live), ended=len(recent))

    async def _declare_live(self, life: str, live: _Live) -> None:
        if not self._runs(live):
            return
        outcome = await self._holds.redeclare(life, live.ask, live.at_us, live.progress())
        if outcome is Outcome.ENDED:
            live.ended = True

    def _runs(self, live: _Live) -> bool:
        """Whether it is still this gateway's: a call that has ended or was left has no progress to ask for."""
        return self._live.get(live.ask.request_id) is live

    async def _renew(self) -> None:
        every = self._limits.lease / 3
        while True:
            await self._clock.sleep(every / 5)
            due = self._clock.monotonic() - every
            late = [live for live in self._live.values() if live.renewed_at <= due and not live.ended]
            for at in range(0, len(late), _BATCH):
                await asyncio.gather(*(self._renew_one(live) for live in late[at : at + _BATCH]))

    async def _renew_one(self, live: _Live) -> None:
        if not self.lives.open or not self._runs(live):
            return
        try:
            outcome = await self._holds.extend(self.lives.name(), live.ask, 0, 0, live.progress())
        except PlatformError:
            return  # the store is away; the next round is soon
        live.renewed_at = self._clock.monotonic()
        self._note(live, outcome)


async def _all(work: Iterable[Awaitable[object]]) -> None:
    """All of it in one exchange; raises the first error when everything has ended."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def _nobody(_: str) -> None:
    """Listens while nobody else does."""
