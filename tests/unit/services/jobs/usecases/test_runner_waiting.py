"""Parts wait for room, for the store, or among the dead letters, and come to their end afterwards."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from libs.errors import Reason
from libs.kafka.handling import PoisonError, RetryLaterError
from libs.testing.loop import run
from services.jobs.adapters.memory_store import MemoryJobs
from services.jobs.domain.agenda import Task
from services.jobs.domain.gate import GateRule
from services.jobs.domain.job import JobState
from services.jobs.ports.neighbours import Room
from tests.unit.services.jobs.running_world import TENANT, World, failing, key


@asynccontextmanager
async def world(**options):
    made = World(**options)
    try:
        yield made
    finally:
        await made.close()


def tried(main):
    run(main())


def test_a_full_pool_gives_the_place_back_and_is_asked_again_later():
    async def main():
        async with world(held_seconds=20.0) as w:
            await w.job()
            w.capacity.room = Room(0, 100, 5, 300, 4)
            began = w.clock.monotonic()
            await w.consumer(attempts_max=1).run(TENANT, key())  # returns: no message need wait for it
            assert 19.0 < w.clock.monotonic() - began < 23.0
            assert w.gateways.asked == {}
            assert await w.due() == []
            await w.clock.sleep(21.0)
            assert [(due.task, due.part) for due in await w.due()] == [(Task.SEND, 0)]
            w.capacity.room = Room(100, 0, 0, 0, 4)
            await w.consumer(attempts_max=1).run(TENANT, key())
            assert (await w.get()).succeeded == 1

    tried(main)


def test_nothing_starts_while_the_router_is_away():
    async def main():
        async with world(held_seconds=20.0) as w:
            await w.job()
            w.capacity.away = failing(Reason.WORKER_LOST)
            running = asyncio.create_task(w.consumer().run(TENANT, key()))
            await w.clock.sleep(10.0)
            assert w.gateways.asked == {}
            w.capacity.away = None
            await running
            assert (await w.get()).succeeded == 1

    tried(main)


def test_an_unknown_pool_is_tried_out():
    async def main():
        async with world(rule=GateRule(blind_max=2)) as w:
            await w.job(steps=10)
            w.capacity.away = failing(Reason.MODEL_NOT_FOUND)
            await w.consumer().run(TENANT, key())
            assert (await w.get()).succeeded == 10
            assert w.gateways.running_max == 2

    tried(main)


def test_refusals_for_want_of_room_wait_at_the_gate():
    async def main():
        async with world() as w:
            await w.job()
            w.gateways.failures = {"job_1/0": [failing(Reason.OVERLOADED, 1.0)] * 5}
            began = w.clock.monotonic()
            await w.consumer().run(TENANT, key())
            assert w.clock.monotonic() - began >= 5.0
            assert w.seen.counts["crowded"] == 5
            assert (await w.get()).succeeded == 1

    tried(main)


def test_an_attempt_whose_beginning_was_not_acknowledged_counts_once():
    class Mute(MemoryJobs):
        """Does what it is asked, and the first replies to `begin` are lost."""

        lost = 5

        async def begin(self, tenant, asks):
            begun = await super().begin(tenant, asks)
            if self.lost:
                self.lost -= 1
                raise failing(Reason.STORE_UNAVAILABLE)
            return begun

    async def main():
        async with world() as w:
            w.store = Mute(w.clock)
            await w.job()
            await w.consumer(attempts_max=2).run(TENANT, key())
            job = await w.get()
            assert (job.state, job.attempts) == (JobState.SUCCEEDED, 1)

    tried(main)


def test_a_dead_letter_of_a_job_that_was_told_is_answered_when_it_is_replayed():
    async def main():
        async with world() as w:
            await w.job()
            await w.consumer("one", attempts_max=1).means.desk.begin(TENANT, key(), replayed=False)
            with pytest.raises(PoisonError):
                await w.consumer("two", attempts_max=1).run(TENANT, key())
            job = await w.get()
            await w.gateways.release(TENANT, [job.id])
            await w.store.told(TENANT, job.id, job.version, None)
            await w.consumer("three").run(TENANT, key(), replayed=True)
            job = await w.get()
            assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, 1, 0)

    tried(main)


def test_a_part_whose_requests_cannot_be_read_is_given_back_and_does_not_count_as_a_death():
    async def main():
        async with world() as w:
            await w.job()
            consumer = w.consumer(attempts_max=2)
            read = w.store.requests

            async def broken(tenant, key):
                raise failing(Reason.INTERNAL)

            w.store.requests = broken
            for _ in range(4):
                with pytest.raises(RetryLaterError):
                    await consumer.run(TENANT, key())
            w.store.requests = read
            await consumer.run(TENANT, key())
            assert (await w.get()).succeeded == 1

    tried(main)
