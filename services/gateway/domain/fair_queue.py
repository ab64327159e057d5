"""A bounded queue that is fair between tenants: weighted fair queueing over tenants, priorities with ageing within.

When it is full, one that waits may have to give way (`displaced_by`): the one with the lowest priority, else the newest
of the tenant with most members, as long as that tenant keeps more of them than the newcomer's. So the queue's room is
shared evenly among those who want it, and one tenant may have all of it while it is alone.

Between tenants it is start-time fair queueing (Goyal, Vin, Cheng 1996) with every turn costing the same: a tenant's
next turn comes 1/weight after its last one in virtual time, so that one waiter of a tenant is never behind a thousand
of another. Within a tenant the waiter with the highest priority goes first, and waiting raises a priority by one every
`ageing_seconds`, so that the lowest one leaves in the end.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

PRIORITY_MAX = 8
# Void entries stay in a heap until they outnumber the valid ones by so many.
SLACK = 32


@dataclass(frozen=True, slots=True)
class QueueBounds:
    """How many may wait in all and of one tenant, turns under way included."""

    waiting_max: int = 1024
    tenant_max: int = 1024
    ageing_seconds: float = 5.0


@dataclass(eq=False, slots=True)
class Waiter:
    """One that waits. Times are `Clock.monotonic` seconds; `priority` is bounded to +-PRIORITY_MAX."""

    tenant: str
    priority: int
    arrived_at: float
    deadline: float
    # Order of arrival, given by the queue.
    serial: int = 0
    gone: bool = False
    # Has its turn: it is out of the order, and still counts against the bounds until `leave` or `restore`.
    out: bool = False


@dataclass(eq=False, slots=True)
class _Tenant:
    """`due`: virtual time of its next turn; `ticket` names its one valid entry in the order, 0 = it has none.

    It stays in the order, with nobody waiting, until its turn comes: only then is its last turn forgotten.
    """

    name: str
    due: float = 0.0
    ticket: int = 0
    ticket_due: float = 0.0
    # Waiting or out; and of them those in `heap`.
    members: int = 0
    waiting: int = 0
    heap: list[tuple[float, int, Waiter]] = field(default_factory=list)


class FairQueue:
    """The order of those who wait. Every operation is O(log n); nothing here blocks or knows what they wait for."""

    __slots__ = ("_ageing", "_bounds", "_members", "_now", "_order", "_priorities", "_serial", "_tenants", "waiting")

    def __init__(self, bounds: QueueBounds) -> None:
        self._bounds = bounds
        self._ageing = bounds.ageing_seconds
        self._tenants: dict[str, _Tenant] = {}
        self._order: list[tuple[float, int, _Tenant]] = []
        self._serial = count(1)
        self._now = 0.0
        self._members = 0
        # Those who wait for their turn.
        self.waiting = 0
        # How many wait with each priority, from -PRIORITY_MAX on.
        self._priorities = [0] * (2 * PRIORITY_MAX + 1)

    def __len__(self) -> int:
        """Those who wait and those who have their turn."""
        return self._members

    def room(self, tenant: str) -> bool:
        """Whether one more of this tenant may wait."""
        found = self._tenants.get(tenant)
        return self._members < self._bounds.waiting_max and (found is None or found.members < self._bounds.tenant_max)

    def push(self, waiter: Waiter) -> bool:
        """Takes a new waiter; False when the queue is full for it."""
        if not self.room(waiter.tenant):
            return False
        tenant = self._tenants.get(waiter.tenant)
        if tenant is None:
            tenant = self._tenants[waiter.tenant] = _Tenant(waiter.tenant)
        if not tenant.ticket:
            tenant.due = max(tenant.due, self._now)
        waiter.serial = next(self._serial)
        tenant.members += 1
        self._members += 1
        self._enter(tenant, waiter)
        return True

    def ahead(self, tenant: str, priority: int) -> int:
        """About how many turns others have before a newcomer: those of its tenant that it does not pass, each with one
        of every other tenant beside it.
        """
        found = self._tenants.get(tenant)
        if found is None:
            return min(self.waiting, len(self._tenants))
        own, others = found.waiting, len(self._tenants) - 1
        if own and priority > self._lowest():
            own = sum(1 for waiter in _waiting_of(found) if waiter.priority >= priority)
        return min(self.waiting, own + others * (own + 1))

    def displaced_by(self, tenant: str, priority: int) -> Waiter | None:
        """Who is to leave a full queue so that a newcomer may wait; None = the newcomer is the one to be refused."""
        own = self._tenants.get(tenant)
        members = own.members if own else 0
        lowest = self._lowest()
        if members >= self._bounds.tenant_max:
            return _worst(_waiting_of(own), below=priority) if own and priority > lowest else None
        if priority > lowest:
            return _worst((one for each in self._tenants.values() for one in _waiting_of(each)), below=priority)
        biggest = max(self._tenants.values(), key=lambda each: each.members, default=None)
        if biggest is None or biggest.members <= members + 1:
            return None
        return _worst(_waiting_of(biggest), below=priority + 1)

    def pop(self, now: float, may: Callable[[str], bool] | None = None) -> Waiter | None:
        """The next one, who has the turn now; None when nobody waits. Who is past the deadline gets no turn.

        `may` says of a tenant whether it should have one more turn: one that should not is passed over, without losing
        its place, while another waits.
        """
        passed: list[tuple[float, int, _Tenant]] = []
        found = self._next(now, may, passed)
        for entry in passed:
            heapq.heappush(self._order, entry)
        if found is None and passed:
            found = self._next(now, None, [])
        return found

    def _next(
        self, now: float, may: Callable[[str], bool] | None, passed: list[tuple[float, int, _Tenant]]
    ) -> Waiter | None:
        while self._order:
            entry = heapq.heappop(self._order)
            due, ticket, tenant = entry
            if ticket != tenant.ticket:
                continue
            if may is not None and tenant.waiting and not may(tenant.name):
                passed.append(entry)
                continue
            tenant.ticket = 0
            self._now = max(self._now, due)
            waiter = self._first(tenant, now)
            if waiter is None:
                self._forget(tenant)
                continue
            tenant.due = due + _cost(waiter)
            self._line_up(tenant)
            return waiter
        return None

    def restore(self, waiter: Waiter) -> None:
        """Puts one back whose turn was of no use: to its old place, and the turn costs its tenant nothing."""
        if waiter.gone or not waiter.out:
            return
        tenant = self._tenants[waiter.tenant]
        waiter.out = False
        tenant.due -= _cost(waiter)
        self._enter(tenant, waiter)

    def leave(self, waiter: Waiter) -> None:
        """Lets one go for good, served or not. A repeat does nothing."""
        if waiter.gone:
            return
        waiter.gone = True
        tenant = self._tenants[waiter.tenant]
        tenant.members -= 1
        self._members -= 1
        if not waiter.out:
            self._count_out(tenant, waiter)
            _tidy(tenant)
        self._forget(tenant)

    def _enter(self, tenant: _Tenant, waiter: Waiter) -> None:
        # A constant order although priorities age: all of them grow alike.
        place = waiter.arrived_at - _bounded(waiter.priority) * self._ageing
        heapq.heappush(tenant.heap, (place, waiter.serial, waiter))
        tenant.waiting += 1
        self.waiting += 1
        self._priorities[_bounded(waiter.priority) + PRIORITY_MAX] += 1
        self._line_up(tenant)

    def _count_out(self, tenant: _Tenant, waiter: Waiter) -> None:
        tenant.waiting -= 1
        self.waiting -= 1
        self._priorities[_bounded(waiter.priority) + PRIORITY_MAX] -= 1

    def _lowest(self) -> int:
        """The lowest priority that waits; above all of them when nobody does."""
        return next((i for i, n in enumerate(self._priorities) if n), 2 * PRIORITY_MAX + 1) - PRIORITY_MAX

    def _line_up(self, tenant: _Tenant) -> None:
        """Gives the tenant its place among the others; an earlier one is void."""
        if tenant.ticket and tenant.ticket_due == tenant.due:
            return
        tenant.ticket, tenant.ticket_due = next(self._serial), tenant.due
        heapq.heappush(self._order, (tenant.due, tenant.ticket, tenant))
        if len(self._order) > 2 * len(self._tenants) + SLACK:
            self._order = [entry for entry in self._order if entry[1] == entry[2].ticket]
            heapq.heapify(self._order)

    def _first(self, tenant: _Tenant, now: float) -> Waiter | None:
        while tenant.heap:
            _, _, waiter = heapq.heappop(tenant.heap)
            if waiter.gone:
                continue
            self._count_out(tenant, waiter)
            waiter.out = True
            if waiter.deadline > now:
                return waiter
        return None

    def _forget(self, tenant: _Tenant) -> None:
        """Drops a tenant of whom nobody is left."""
        if not tenant.members and not tenant.ticket:
            self._tenants.pop(tenant.name, None)


def _tidy(tenant: _Tenant) -> None:
    if len(tenant.heap) > 2 * tenant.waiting + SLACK:
        tenant.heap = [entry for entry in tenant.heap if not entry[2].gone]
        heapq.heapify(tenant.heap)


def _waiting_of(tenant: _Tenant) -> Iterator[Waiter]:
    return (entry[2] for entry in tenant.heap if not entry[2].gone and not entry[2].out)


def _worst(waiters: Iterator[Waiter], *, below: int) -> Waiter | None:
    """The lowest priority under `below`, the newest of several: who has waited longest is nearest to its turn."""
    found = [waiter for waiter in waiters if waiter.priority < below]
    return min(found, key=lambda waiter: (waiter.priority, -waiter.serial), default=None)


def _bounded(priority: int) -> int:
    return max(-PRIORITY_MAX, min(PRIORITY_MAX, priority))


def _cost(waiter: Waiter) -> float:
    """Virtual time of one turn: each step of priority doubles a tenant's share."""
    return float(2.0 ** -_bounded(waiter.priority))
