"""The agenda is looked at often enough, seldom enough, and by whoever is left."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

from libs.errors import PlatformError, Reason
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.jobs.domain.agenda import Due, Task
from services.jobs.usecases.agenda import SLOW_MAX, AgendaLimits, Sweeper
from tests.unit.services.jobs.running_world import Observed


class FakeAgenda:
    """Entries by tenant with their times; counts looks."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.due, self.looks, self.down = clock, {}, Counter(), False

    def add(self, tenant: str, job: str, task: Task = Task.TELL) -> Due:
        due = Due(tenant, task, job)
        self.due.setdefault(tenant, {})[due] = self.clock.monotonic()
        return due

    def _check(self):
        if self.down:
            raise PlatformError(Reason.STORE_UNAVAILABLE, "down")

    async def tenants(self):
        self._check()
        return list(self.due)

    async def claim(self, tenant, limit, lease_ms):
        self.looks[tenant] += 1
        self._check()
        now, entries = self.clock.monotonic(), self.due.get(tenant, {})
        found = sorted((at, due.job, due) for due, at in entries.items() if at <= now)[:limit]
        for _, _, due in found:
            entries[due] = now + lease_ms / 1000
        return [due for _, _, due in found]

    async def done(self, due):
        self.due[due.tenant].pop(due, None)

    async def later(self, tenant, job, task, at_ms, part=0):
        self.due[tenant][Due(tenant, task, job, part)] = self.clock.monotonic() + at_ms / 1000


class Desk:
    def __init__(self, limits: AgendaLimits) -> None:
        self.clock = FakeClock()
        self.agenda = FakeAgenda(self.clock)
        self.seen = Observed()
        self.did: list[Due] = []
        self.times: list[float] = []
        self.failures = 0
        self.seconds = 0.0
        self.calling = 0
        doing = {Task.TELL: self.tell, Task.HOOK: self.hook}
        self.sweeper = Sweeper(self.agenda, doing, self.clock, limits, self.seen)

    async def hook(self, tenant, dues):
        """Receivers that hang for a minute."""
        self.calling += len(dues)
        await self.clock.sleep(60.0)
        self.calling -= len(dues)
        for due in dues:
            await self.agenda.done(due)

    async def tell(self, tenant, dues):
        await self.clock.sleep(self.seconds)
        if self.failures:
            self.failures -= 1
            raise PlatformError(Reason.STORE_UNAVAILABLE, "a test says so")
        for due in dues:
            self.did.append(due)
            self.times.append(self.clock.monotonic())
            await self.agenda.done(due)


@asynccontextmanager
async def desk(**limits):
    made = Desk(AgendaLimits(**limits))
    task = asyncio.create_task(made.sweeper.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_what_is_due_is_done_for_every_tenant():
    async def main():
        async with desk() as d:
            dues = [d.agenda.add(f"t{place}", f"j{place}") for place in range(40)]
            await d.clock.sleep(6.0)
            assert sorted(due.job for due in d.did) == sorted(due.job for due in dues)
            assert d.seen.counts["tell done"] == 40

    run(main())


def test_tenants_that_rest_are_looked_at_more_and_more_seldom():
    async def main():
        async with desk(pace_seconds=0.25, pace_seconds_max=8.0) as d:
            d.agenda.due["idle"] = {}
            await d.clock.sleep(100.0)
            assert 12 <= d.agenda.looks["idle"] <= 20

    run(main())


def test_five_thousand_tenants_that_rest_cost_no_more_looks_than_half_as_many():
    async def main():
        async with desk() as d:
            for place in range(5_000):
                d.agenda.due[f"t{place}"] = {}
            await d.clock.sleep(30.0)
            d.agenda.looks.clear()
            await d.clock.sleep(20.0)
            assert 400 * 20 < d.agenda.looks.total() < 600 * 20
            due = d.agenda.add("t2500", "left by somebody")
            await d.clock.sleep(11.0)
            assert d.did == [due]

    run(main())


def test_who_is_woken_is_looked_at_at_once():
    async def main():
        async with desk(pace_seconds_max=600.0) as d:
            d.agenda.due["busy"] = {}
            await d.clock.sleep(300.0)
            began = d.clock.monotonic()
            d.agenda.add("busy", "j")
            d.sweeper.wake("busy")
            await d.clock.sleep(1.0)
            assert d.times
            assert d.times[0] - began < 0.1

    run(main())


def test_a_tenant_with_much_to_do_is_gone_through_without_pauses():
    async def main():
        async with desk(claim_max=10) as d:
            for place in range(500):
                d.agenda.add("t", f"j{place:03}")
            await d.clock.sleep(2.0)
            assert len(d.did) == 500

    run(main())


def test_what_fails_is_done_again_after_its_lease():
    async def main():
        async with desk(lease_seconds=30.0) as d:
            d.failures = 1
            d.agenda.add("t", "j")
            await d.clock.sleep(29.0)
            assert d.did == []
            assert d.seen.counts["tell failed"] == 1
            await d.clock.sleep(10.0)
            assert len(d.did) == 1

    run(main())


def test_what_takes_longer_than_its_lease_is_not_begun_twice_here():
    async def main():
        async with desk(lease_seconds=1.0) as d:
            d.seconds = 10.0
            d.agenda.add("t", "j")
            await d.clock.sleep(30.0)
            assert len(d.did) == 1

    run(main())


def test_one_that_hangs_does_not_hold_up_others():
    async def main():
        async with desk() as d:
            d.seconds = 1000.0
            d.agenda.add("slow", "j")
            await d.clock.sleep(6.0)
            d.seconds = 0.0
            d.agenda.add("quick", "k")
            await d.clock.sleep(6.0)
            assert [due.job for due in d.did] == ["k"]

    run(main())


def test_webhooks_that_hang_hold_up_no_ends():
    async def main():
        async with desk() as d:
            for place in range(1000):
                d.agenda.add("evil", f"h{place}", Task.HOOK)
            await d.clock.sleep(6.0)
            assert d.calling == SLOW_MAX
            dues = [d.agenda.add(tenant, f"j{place}") for tenant in ("evil", "good") for place in range(150)]
            await d.clock.sleep(6.0)
            assert (d.calling, len(d.did)) == (SLOW_MAX, len(dues))
            await d.clock.sleep(600.0)
            assert (d.calling, d.agenda.due["evil"]) == (0, {})

    run(main())


def test_a_store_that_is_away_is_waited_for():
    async def main():
        async with desk() as d:
            d.agenda.down = True
            d.agenda.add("t", "j")
            await d.clock.sleep(60.0)
            d.agenda.down = False
            await d.clock.sleep(12.0)
            assert len(d.did) == 1

    run(main())
