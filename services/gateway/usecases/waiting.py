"""Where calls wait for a place: per model a learned limit of calls under way, and one fair queue of those beyond it.

The limit (libs/resilience/limiter.py) keeps the queue here, where it is fair, bounded and known, and out of the
workers, where nobody can leave it in time. A call that finds a place takes it at once; others get a turn when one
becomes free. Whoever could only wait in vain is refused at the door: see `check`.

Workers may refuse all the same, for their room is shared with other gateways. Then turns mean "try again" and are
given one by one, as long as the queue lives: when a running call of the model ends here, when the time that the last
refusal named is over, and when the one who had a turn got its first delta. Who is refused again goes back to its old
place. Nobody overtakes: later calls of a model that has a queue join it.

Work in the background waits elsewhere. It gets a place while nobody waits and a share of the places stays free for live
calls, else it is refused at once; and what it meets teaches the limit nothing, since it is not what the limit is for.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.resilience.limiter import ConcurrencyLimiter, FirstTokenWait, LimiterRule
from services.gateway.domain.fair_queue import FairQueue, QueueBounds, Waiter
from services.gateway.domain.slots import Slots
from services.gateway.ports.waiting import WaitObserver
from services.gateway.usecases.deadline import Deadline

# A pause is stretched by up to so much, so that gateways do not all come back at once; so is what callers are told.
JITTER = 0.25
RETRY_AFTER_SECONDS_MIN = 1.0
# Turns that one tick gives at most.
BURST_MAX = 64
STANDING_AFTER = 0.25


FULL = "no more of yours may"
# Under this name background work has its places: they count against no tenant's share.
BACKGROUND = ""


@dataclass(frozen=True, slots=True)
class WaitLimits:
    """How long a call may wait, and how soon a refused one tries again when its worker names no time. 0 = no queue.

    A queue that stands takes only who would wait `standing_seconds` at most, or as long as a call takes: a burst may
    wait for long, but a load that is too high would make all wait for as long as any may. It stands once somebody has
    been waiting for a quarter of that without a break. Background work begins while less than its share of the places
    is taken, by whatever calls.
    """

    wait_seconds_max: float = 30.0
    retry_seconds: float = 0.5
    bounds: QueueBounds = field(default_factory=QueueBounds)
    limiter: LimiterRule = field(default_factory=LimiterRule)
    tenant_share: float = 0.5
    standing_seconds: float = 1.0
    background_share: float = 0.75


@dataclass(slots=True)
class QueuedCall:
    """A call as its queue sees it."""

    model: str
    tenant: str
    priority: int
    deadline: Deadline


@dataclass(eq=False, slots=True)
class _Pool:
    """What is known of one model. `burst`: turns at the next tick, doubled while nobody is refused."""

    model: str
    slots: Slots
    queue: FairQueue
    not_before: float = 0.0
    burst: int = 1
    # A worker has refused since the queue was empty last.
    refusing: bool = False
    # Since when somebody has been waiting without a break.
    standing_since: float | None = None
    unsaid: FirstTokenWait = field(default_factory=FirstTokenWait)
    turns: dict[Waiter, asyncio.Future[Ticket]] = field(default_factory=dict)
    ticker: asyncio.Task[None] | None = None


@dataclass(eq=False, slots=True)
class Ticket:
    """A place among the calls under way. Who has it says `served`, or comes back to `wait`, and at last `leave`s."""

    pool: _Pool
    tenant: str
    granted_at: float
    # It had to wait for its turn, and nothing has come of that yet.
    waiter: Waiter | None = None
    served: bool = False
    over: bool = False

    @property
    def model(self) -> str:
        """The model that it is for."""
        return self.pool.model


class WaitingRoom:
    """Places and queues of the process. Used on the event loop only."""

    def __init__(
        self,
        clock: Clock,
        limits: WaitLimits,
        observer: WaitObserver | None = None,
        *,
        workers: Callable[[str], int] = lambda _: 1,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        """`workers` says how many live ones a model has; `uniform` gives numbers from 0 to 1, for the jitter."""
        self._clock = clock
        self._limits = limits
        self._observer = observer
        self._workers = workers
        self._uniform = uniform
        self._pools: dict[str, _Pool] = {}

    def __len__(self) -> int:
        """Calls that wait for their turn."""
        return sum(pool.queue.waiting for pool in self._pools.values())

    def has_queue(self, model: str) -> bool:
        """Whether somebody waits for this model, or has a turn of which nothing has come yet."""
        pool = self._pools.get(model)
        return pool is not None and len(pool.queue) > 0

    def check(self, model: str, tenant: str, priority: int, deadline: Deadline) -> None:
        """Raises OVERLOADED when a call could only wait in vain, before anything is spent on it."""
        pool = self._pools.get(model)
        if pool is not None and pool.queue.waiting:
            self._check(pool, tenant, priority, deadline.left(self._limits.wait_seconds_max))

    def enter(self, model: str, tenant: str) -> Ticket | None:
        """A place for a call that has none, when one is free and nobody waits for it."""
        pool = self._pools.get(model) or self._open(model)
        if pool.queue.waiting or pool.refusing or not pool.slots.take(tenant):
            return None
        return Ticket(pool, tenant, self._clock.monotonic())

    def check_background(self, model: str) -> None:
        """Raises OVERLOADED when there is no place for background work, before anything is spent on it."""
        if not self._spare(self._pools.get(model) or self._open(model)):
            raise self.no_spare(model)

    def enter_background(self, model: str) -> Ticket | None:
        """A place that no live call wants just now, None = there is none."""
        pool = self._pools.get(model) or self._open(model)
        if not self._spare(pool) or not pool.slots.take(BACKGROUND):
            return None
        return Ticket(pool, BACKGROUND, self._clock.monotonic())

    def _spare(self, pool: _Pool) -> bool:
        limiter = pool.slots.limiter
        wanted = pool.queue.waiting > 0 or pool.refusing
        return not wanted and limiter.in_flight < self._limits.background_share * limiter.limit

    def no_spare(self, model: str) -> PlatformError:
        """What background work is told that finds no place."""
        if self._observer is not None:
            self._observer.refused("background")
        after = self._stretched(self._limits.retry_seconds)
        message = f"Live calls need the places of model '{model}'. Nothing was started; try again in {after:.1f} s."
        return PlatformError(Reason.OVERLOADED, message, retry_after_seconds=after, started=False)

    async def wait(self, call: QueuedCall, refusal: PlatformError | None, held: Ticket | None = None) -> Ticket:
        """Waits for a turn. `refusal` is why `held` was of no use, None = there was no place.

        Raises OVERLOADED when the queue is full, when the time to wait is used up or would not do; DEADLINE_EXCEEDED
        when there is none. `held` is given back in any case.
        """
        now = self._clock.monotonic()
        pool = self._pools.get(call.model) or self._open(call.model)
        waiter = self._refused(held, now) if held is not None else None
        try:
            waiter = waiter or self._join(pool, call, refusal, now)
        finally:
            # Whoever else waits must not wait for the end of calls that there may be none of.
            if refusal is not None and len(pool.queue):
                self._pause(pool, refusal, now)
        return await self._turn(pool, waiter, now)

    def served(self, ticket: Ticket, sent_at: float, queue_seconds: float | None) -> None:
        """The call is being answered after `queue_seconds` in its worker's queue (None = it does not say): there may be
        room for another one.
        """
        if ticket.over or ticket.tenant == BACKGROUND:
            return
        pool, now = ticket.pool, self._clock.monotonic()
        ticket.served = True
        wait = pool.unsaid.of(now - sent_at, now) if queue_seconds is None else queue_seconds
        looked = pool.slots.limiter.began(sent_at, wait, now)
        waiter, ticket.waiter = ticket.waiter, None
        if waiter is not None:
            self._tell("served", waiter, now)
            pool.queue.leave(waiter)
        if looked:
            pool.slots.limiter.resize(self._workers(pool.model), now)
        if looked or waiter is not None:
            self._grant(pool)

    def leave(self, ticket: Ticket) -> None:
        """The call is over, or goes elsewhere: its place is another's. A repeat does nothing."""
        if ticket.over:
            return
        pool, now = ticket.pool, self._clock.monotonic()
        ticket.over = True
        seconds = now - ticket.granted_at if ticket.served else None
        pool.slots.give_back(ticket.tenant, seconds, wanted=pool.queue.waiting > 0)
        if ticket.waiter is not None:
            self._tell("gone", ticket.waiter, now)
            pool.queue.leave(ticket.waiter)
        if pool.queue.waiting:
            self._grant(pool)
        elif pool.refusing:
            self._settle(pool)

    def _open(self, model: str) -> _Pool:
        limits = self._limits
        limiter = ConcurrencyLimiter(limits.limiter, self._workers(model), self._clock.monotonic())
        pool = _Pool(model, Slots(limiter, limits.tenant_share), FairQueue(limits.bounds))
        self._pools[model] = pool
        if self._observer is not None:
            self._observer.opened(model, lambda: limiter.limit, lambda: limiter.in_flight)
        return pool

    def _refused(self, ticket: Ticket, now: float) -> Waiter | None:
        """Takes back the place of a call that no worker took; its old place in the queue, if it had one."""
        if ticket.over:
            return None
        pool = ticket.pool
        ticket.over = True
        pool.slots.give_back(ticket.tenant, None)
        pool.slots.limiter.refused(ticket.granted_at, now)
        pool.burst = 1
        waiter, ticket.waiter = ticket.waiter, None
        if waiter is not None:
            pool.queue.restore(waiter)
        return waiter

    def _join(self, pool: _Pool, call: QueuedCall, refusal: PlatformError | None, now: float) -> Waiter:
        longest = self._limits.wait_seconds_max
        if refusal is not None and (longest <= 0 or (refusal.retry_after_seconds or 0.0) > longest):
            raise refusal
        left = call.deadline.left(longest) if longest > 0 else 0.0
        if refusal is None:
            self._check(pool, call.tenant, call.priority, left)
        waiter = Waiter(call.tenant, call.priority, now, now + left)
        if not pool.queue.push(waiter):
            self._displace(pool, waiter)
            pool.queue.push(waiter)
        return waiter

    def _check(self, pool: _Pool, tenant: str, priority: int, left: float) -> None:
        queue, slots = pool.queue, pool.slots
        expected = slots.seconds_until(queue.ahead(tenant, priority) + 1)
        standing = max(self._limits.standing_seconds, slots.limiter.service_seconds)
        since = pool.standing_since
        if since is not None and self._clock.monotonic() - since >= standing * STANDING_AFTER:
            left = min(left, standing)
        if left <= 0 or (expected > left and queue.waiting):
            story = f"yours would wait for {expected:.1f} s, and {left:.1f} s are left for that"
            raise self._refusal(pool, "hopeless", expected, story)
        if not queue.room(tenant) and queue.displaced_by(tenant, priority) is None:
            raise self._refusal(pool, "full", expected, FULL)

    def _displace(self, pool: _Pool, newcomer: Waiter) -> None:
        """Makes room in a full queue, or raises OVERLOADED for the newcomer."""
        loser = pool.queue.displaced_by(newcomer.tenant, newcomer.priority)
        expected = pool.slots.seconds_until(pool.queue.waiting)
        if loser is None:
            raise self._refusal(pool, "full", expected, FULL)
        pool.queue.leave(loser)
        turn = pool.turns.pop(loser, None)
        if turn is not None and not turn.done():
            turn.set_exception(self._refusal(pool, "displaced", expected, "yours had to make way for another one"))

    async def _turn(self, pool: _Pool, waiter: Waiter, now: float) -> Ticket:
        turn: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        pool.turns[waiter] = turn
        if pool.standing_since is None:
            pool.standing_since = now
        if not pool.refusing:
            self._grant(pool)
        try:
            async with asyncio.timeout(max(0.0, waiter.deadline - now)):
                return await turn
        except TimeoutError:
            self._give_up(pool, waiter, turn, "refused")
            waited = self._clock.monotonic() - waiter.arrived_at
            expected = pool.slots.seconds_until(pool.queue.waiting)
            raise self._refusal(pool, "late", expected, f"yours waited {waited:.1f} s in vain") from None
        except PlatformError:
            self._give_up(pool, waiter, turn, "refused")
            raise
        except asyncio.CancelledError:
            self._give_up(pool, waiter, turn, "gone")
            raise

    def _give_up(self, pool: _Pool, waiter: Waiter, turn: asyncio.Future[Ticket], outcome: str) -> None:
        """A wait has ended without a turn, or with one that came too late to be used."""
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self.leave(turn.result())
            return
        pool.turns.pop(waiter, None)
        pool.queue.leave(waiter)
        self._tell(outcome, waiter, self._clock.monotonic())
        self._settle(pool)

    def _grant(self, pool: _Pool) -> None:
        """Gives turns: to as many as there are places; to one alone where workers refuse."""
        queue, slots, now = pool.queue, pool.slots, self._clock.monotonic()
        while queue.waiting:
            if not slots.limiter.has_room():
                return
            waiter = queue.pop(now, slots.may)
            if waiter is None:
                break
            turn = pool.turns.pop(waiter, None)
            if turn is None or turn.done():
                # Its caller has gone in this tick, and will say so.
                queue.leave(waiter)
                continue
            slots.take(waiter.tenant)
            turn.set_result(Ticket(pool, waiter.tenant, now, waiter))
            if pool.refusing:
                break
        self._settle(pool)

    def _settle(self, pool: _Pool) -> None:
        """Forgets what a queue was like that is over."""
        if pool.queue.waiting:
            return
        pool.standing_since = None
        if len(pool.queue) == 0:
            pool.refusing = False
            if pool.ticker is not None:
                pool.ticker.cancel()
                pool.ticker = None

    def _pause(self, pool: _Pool, refusal: PlatformError, now: float) -> None:
        limits, pause = self._limits, refusal.retry_after_seconds
        if pause is None or pause > limits.wait_seconds_max:
            # Who waits so long waits in vain: the others may as well try.
            pause = limits.retry_seconds
        pool.not_before = max(pool.not_before, now + self._stretched(pause))
        pool.refusing = True
        if pool.ticker is None:
            pool.ticker = asyncio.get_running_loop().create_task(self._tick(pool), name="queue-ticker")

    def _stretched(self, seconds: float) -> float:
        return seconds * (1.0 + JITTER * self._uniform())

    async def _tick(self, pool: _Pool) -> None:
        """Gives turns by time alone, for as long as workers refuse."""
        while True:
            while (left := pool.not_before - self._clock.monotonic()) > 0:
                await self._clock.sleep(left)
            pool.not_before = self._clock.monotonic() + self._stretched(self._limits.retry_seconds)
            for _ in range(min(pool.burst, pool.queue.waiting)):
                self._grant(pool)
            pool.burst = min(2 * pool.burst, BURST_MAX)

    def _refusal(self, pool: _Pool, why: str, expected: float, story: str) -> PlatformError:
        after = self._stretched(max(expected, RETRY_AFTER_SECONDS_MIN))
        if self._observer is not None:
            self._observer.refused(why)
        message = (
            f"All workers of model '{pool.model}' are busy: {pool.queue.waiting} calls wait; {story}. "
            f"Try again in {after:.0f} s."
        )
        return PlatformError(Reason.OVERLOADED, message, retry_after_seconds=after, started=False)

    def _tell(self, outcome: str, waiter: Waiter, now: float) -> None:
        if self._observer is not None:
            self._observer.waited(outcome, now - waiter.arrived_at)
