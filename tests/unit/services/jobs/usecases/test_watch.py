"""Watching jobs: every change once, signs of life, one reader of the store however many watch."""

import asyncio
from contextlib import aclosing

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.jobs.domain.attempt import Verdict
from services.jobs.domain.job import JobState
from services.jobs.usecases.watch import Watches, WatchTimes
from tests.unit.services.jobs.accept_rig import Rig, asked


class CountingJobs:
    """Counts how often the store is read."""

    def __init__(self, store):
        self._store, self.reads = store, 0

    async def get(self, tenant, job):
        self.reads += 1
        return await self._store.get(tenant, job)


async def watched(rig, job, into, watches=None):
    watches = rig.watches if watches is None else watches
    async with aclosing(watches.watch("acme", job)) as changes:
        async for each in changes:
            into.append(each)


def test_every_change_is_told_until_the_end():
    rig = Rig()

    async def main():
        job, seen = (await rig.submit(asked(2))).job, []
        watching = asyncio.create_task(watched(rig, job, seen))
        await asyncio.sleep(1)
        await rig.run_part(job.id)
        await watching
        assert [each.state for each in seen] == [JobState.REQUESTED, JobState.SUCCEEDED]
        assert seen[1].succeeded == 2
        assert len(rig.watches) == 0

    run(main())


def test_a_job_that_is_over_is_told_once():
    rig = Rig()

    async def main():
        job, seen = (await rig.submit(asked())).job, []
        await rig.run_part(job.id)
        await watched(rig, await rig.store.get("acme", job.id), seen)
        assert len(seen) == 1

    run(main())


def test_a_batch_is_over_when_its_files_are_there():
    rig = Rig()

    async def main():
        job, seen = (await rig.submit(asked(batch=True))).job, []
        watching = asyncio.create_task(watched(rig, job, seen))
        await rig.run_part(job.id)
        await asyncio.sleep(5)
        assert not watching.done()
        ended = await rig.store.get("acme", job.id)
        assert await rig.store.told("acme", job.id, ended.version, ended.batch) is Verdict.APPLIED
        await watching
        assert [each.told for each in seen] == [False, False, True]

    run(main())


def test_silence_is_broken_every_fifteen_seconds():
    rig = Rig()

    async def main():
        job, seen = (await rig.submit(asked())).job, []
        watching = asyncio.create_task(watched(rig, job, seen))
        await asyncio.sleep(46)
        assert [each.version for each in seen] == [job.version] * 4
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await asyncio.sleep(0)
        assert len(rig.watches) == 0

    run(main())


def test_many_watchers_of_a_job_cost_one_reader():
    rig = Rig()

    async def main():
        job, seen = (await rig.submit(asked())).job, [[] for _ in range(50)]
        jobs = CountingJobs(rig.store)
        watches = Watches(jobs, rig.clock, WatchTimes(poll=1.0, poll_max=1.0))
        tasks = [asyncio.create_task(watched(rig, job, each, watches)) for each in seen]
        await asyncio.sleep(4.5)
        assert (jobs.reads, len(watches)) == (4, 1)
        await rig.run_part(job.id)
        await asyncio.gather(*tasks)
        assert all(each[-1].state is JobState.SUCCEEDED for each in seen)
        assert jobs.reads == 5

    run(main())


def test_a_watcher_that_leaves_takes_no_other_along():
    rig = Rig()

    async def main():
        job, stays = (await rig.submit(asked())).job, []
        leaves = asyncio.create_task(watched(rig, job, []))
        staying = asyncio.create_task(watched(rig, job, stays))
        await asyncio.sleep(1)
        leaves.cancel()
        await asyncio.gather(leaves, return_exceptions=True)
        await rig.run_part(job.id)
        await staying
        assert stays[-1].state is JobState.SUCCEEDED

    run(main())


def test_who_comes_later_with_fresher_news_is_told_nothing_older():
    rig = Rig()

    async def main():
        job, late = (await rig.submit(asked(32))).job, []
        watches = Watches(rig.store, rig.clock, WatchTimes(poll=5.0, heartbeat=1.0))
        early = asyncio.create_task(watched(rig, job, [], watches))
        await asyncio.sleep(0.1)
        await rig.run_part(job.id, 0)
        fresh = await rig.store.get("acme", job.id)
        watching = asyncio.create_task(watched(rig, fresh, late, watches))
        await asyncio.sleep(3)
        assert len(late) == 3
        await rig.run_part(job.id, 1)
        await asyncio.gather(early, watching)
        versions = [each.version for each in late]
        assert versions == sorted(versions)
        assert versions[0] == fresh.version

    run(main())


def test_a_store_that_is_away_for_a_moment_is_waited_for():
    rig = Rig()

    async def main():
        job, seen = (await rig.submit(asked())).job, []
        watching = asyncio.create_task(watched(rig, job, seen))
        await asyncio.sleep(1)
        rig.store.down = True
        await asyncio.sleep(8)
        rig.store.down = False
        await rig.run_part(job.id)
        await watching
        assert seen[-1].state is JobState.SUCCEEDED

    run(main())


def test_a_store_that_stays_away_ends_the_watch():
    rig = Rig()

    async def main():
        job = (await rig.submit(asked())).job
        watching = [asyncio.create_task(watched(rig, job, [])) for _ in range(2)]
        await asyncio.sleep(1)
        rig.store.down = True
        for each in watching:
            with pytest.raises(PlatformError) as raised:
                await each
            assert raised.value.reason is Reason.STORE_UNAVAILABLE
        assert len(rig.watches) == 0

    run(main())


def test_a_job_that_is_forgotten_meanwhile_is_unknown():
    rig = Rig()

    async def main():
        rig.gateways.fail = PlatformError(Reason.WORKER_LOST, "away")
        with pytest.raises(PlatformError):
            await rig.submit(asked())
        (job,) = await rig.store.list("acme", batches=False, after="", limit=1)
        watching = asyncio.create_task(watched(rig, job, []))
        await asyncio.sleep(1)
        await rig.store.refuse("acme", job.id, None)
        with pytest.raises(PlatformError) as raised:
            await watching
        assert raised.value.reason is Reason.NOT_FOUND

    run(main())


def test_a_replica_that_stops_lets_its_watchers_go():
    rig = Rig()

    async def main():
        job = (await rig.submit(asked())).job
        watching = [asyncio.create_task(watched(rig, job, [])) for _ in range(2)]
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        await rig.watches.close()
        for each in [*watching, asyncio.create_task(watched(rig, job, []))]:
            with pytest.raises(PlatformError) as raised:
                await asyncio.wait_for(each, 5)
            assert (raised.value.reason, raised.value.started) == (Reason.DRAINING, False)
        assert asyncio.get_running_loop().time() == began
        assert len(rig.watches) == 0

    run(main())


def test_no_more_jobs_are_watched_than_the_limit_says():
    rig = Rig(times=WatchTimes(jobs_max=1))

    async def main():
        one, two = (await rig.submit(asked())).job, (await rig.submit(asked())).job
        watching = asyncio.create_task(watched(rig, one, []))
        await asyncio.sleep(1)
        with pytest.raises(PlatformError) as raised:
            await asyncio.wait_for(watched(rig, two, []), 5)
        assert raised.value.reason is Reason.OVERLOADED
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    run(main())
