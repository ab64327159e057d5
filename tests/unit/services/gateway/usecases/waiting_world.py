"""A waiting room on virtual time, and callers for it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from libs.errors import PlatformError, Reason
from libs.resilience.limiter import LimiterRule
from libs.testing.clock import FakeClock
from services.gateway.usecases.deadline import Deadline
from services.gateway.usecases.waiting import QueuedCall, WaitingRoom, WaitLimits


def refusal(seconds=None):
    return PlatformError(Reason.OVERLOADED, "full", retry_after_seconds=seconds, started=False)


class Told:
    def __init__(self):
        self.waits, self.refusals, self.pools = [], [], {}

    def waited(self, outcome, seconds):
        self.waits.append((outcome, round(seconds, 3)))

    def refused(self, why):
        self.refusals.append(why)

    def opened(self, model, limit, in_flight):
        self.pools[model] = (limit, in_flight)


class Room:
    """A waiting room on virtual time; `calls` start in order and note when they have their turn."""

    def __init__(self, *, jitter=0.0, workers=1, **limits):
        self.clock, self.told = FakeClock(), Told()
        self.began = self.clock.monotonic()
        self.room = WaitingRoom(
            self.clock, WaitLimits(**limits), self.told, workers=lambda _: workers, uniform=lambda: jitter
        )
        self.turns, self.tasks = [], []
        self.tickets, self.running = {}, []

    def call(self, tenant="acme", priority=0, seconds=600.0):
        deadline = Deadline(self.clock, self.clock.monotonic() + seconds, 0.0)
        return QueuedCall("m", tenant, priority, deadline)

    def run(self, count=1, tenant="acme", model="m"):
        """Calls that find a place and run."""
        for _ in range(count):
            ticket = self.room.enter(model, tenant)
            assert ticket is not None
            self.room.served(ticket, self.clock.monotonic(), 0.0)
            self.running.append(ticket)

    def end(self, ticket=None):
        self.room.leave(ticket or self.running.pop(0))

    def begin(self, name, error=None, **more):
        """A call that waits: refused by its worker with `error`, or without a place."""
        held = self.tickets.pop(name, None)
        if error is not None and held is None:
            held = self.room.enter("m", more.get("tenant", "acme"))
        task = asyncio.get_running_loop().create_task(self._wait(name, self.call(**more), error, held))
        self.tasks.append(task)
        return task

    async def _wait(self, name, call, error, held):
        self.tickets[name] = await self.room.wait(call, error, held)
        self.turns.append((name, round(self.clock.monotonic() - self.began, 3)))

    def served(self, name):
        self.room.served(self.tickets[name], self.clock.monotonic(), 0.0)

    async def pass_time(self, seconds):
        await asyncio.sleep(seconds)
        for _ in range(5):
            await asyncio.sleep(0)

    def names(self):
        return [name for name, _ in self.turns]

    def in_flight(self, model="m"):
        return self.told.pools[model][1]()


@asynccontextmanager
async def room(**limits):
    made = Room(**limits)
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)
    for ticket in (*made.tickets.values(), *made.running):
        made.room.leave(ticket)
        made.room.leave(ticket)
    assert not made.room.has_queue("m")
    assert len(made.room) == 0
    assert made.in_flight() == 0


def slots(number, **more):
    """Limits with exactly so many places."""
    return {"limiter": LimiterRule(start_per_worker=number, limit_max=number), **more}
