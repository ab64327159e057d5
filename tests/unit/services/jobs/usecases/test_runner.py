"""Parts are run once in effect: whatever is repeated, interrupted, fenced off or refused."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from libs.errors import Reason
from libs.kafka.handling import PoisonError, RetryLaterError
from libs.testing.loop import run
from services.jobs.domain.job import JobState
from tests.unit.services.jobs.running_world import ANSWER, TENANT, World, failing, key


@asynccontextmanager
async def world(**options):
    made = World(**options)
    try:
        yield made
    finally:
        await made.close()


def tried(main):
    run(main())


def test_all_steps_of_a_part_are_answered_and_kept():
    async def main():
        async with world() as w:
            await w.job(steps=40)
            await w.consumer().run(TENANT, key())
            job = await w.get()
            assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, 40, 0)
            assert job.usage.cost == 40 * 100
            results = await w.store.results(TENANT, "job_1", 0, 100)
            assert [(each.step, each.custom_id, each.body) for each in results] == [
                (step, f"c{step}", ANSWER) for step in range(40)
            ]
            assert w.gateways.running_max <= 16
            assert w.woken

    tried(main)


def test_a_repeated_message_does_nothing_more():
    async def main():
        async with world() as w:
            await w.job(steps=2)
            consumer = w.consumer()
            await consumer.run(TENANT, key())
            await consumer.run(TENANT, key())
            await w.consumer("two").run(TENANT, key())
            assert w.gateways.asked == {"job_1/0": 1, "job_1/1": 1}
            assert (await w.get()).attempts == 1
            assert w.seen.counts["begun repeated"] == 2

    tried(main)


def test_a_part_that_runs_here_is_not_begun_again():
    async def main():
        async with world() as w:
            await w.job(steps=2)
            consumer = w.consumer()
            await asyncio.gather(*(consumer.run(TENANT, key()) for _ in range(5)))
            assert (await w.get()).attempts == 1
            assert w.gateways.asked == {"job_1/0": 1, "job_1/1": 1}

    tried(main)


def test_a_repeat_takes_over_from_one_that_was_broken_off():
    async def main():
        async with world() as w:
            await w.job()
            consumer = w.consumer()
            first = asyncio.create_task(consumer.run(TENANT, key()))
            second = asyncio.create_task(consumer.run(TENANT, key()))
            await w.clock.sleep(0.5)
            first.cancel()
            await second
            job = await w.get()
            assert (job.state, job.attempts) == (JobState.SUCCEEDED, 2)
            assert w.gateways.charged == {"job_1/0": 1}

    tried(main)


def test_a_second_attempt_gets_the_first_ones_answer_and_nobody_pays_twice():
    async def main():
        async with world() as w:
            await w.job(steps=3)
            w.gateways.seconds = 10.0
            first = asyncio.create_task(w.consumer().run(TENANT, key()))
            await w.clock.sleep(5.0)
            first.cancel()  # killed: nothing of it is heard again
            await asyncio.gather(first, return_exceptions=True)
            began = w.clock.monotonic()
            await w.consumer("two").run(TENANT, key())
            assert w.clock.monotonic() - began < 6.0  # the rest of the answer, and not all of it
            assert (await w.get()).succeeded == 3
            assert set(w.gateways.charged.values()) == {1}

    tried(main)


def test_an_attempt_that_was_fenced_off_stops_at_once_and_writes_nothing():
    async def main():
        async with world() as w:
            await w.job(steps=2)
            w.gateways.seconds = 30.0
            zombie = asyncio.create_task(w.consumer().run(TENANT, key()))
            await w.clock.sleep(1.0)
            other = asyncio.create_task(w.consumer("two").run(TENANT, key()))
            await zombie  # its next renewal tells it
            assert w.seen.counts["late renew"] == 1
            assert w.gateways.abandoned == []  # the later attempt has the calls
            assert (await w.get()).succeeded == 0
            await other
            assert ((await w.get()).succeeded, set(w.gateways.charged.values())) == (2, {1})

    tried(main)


def test_a_late_result_is_refused_and_counted():
    async def main():
        async with world() as w:
            await w.job(steps=2)
            w.gateways.seconds = 1.0
            zombie = asyncio.create_task(w.consumer().run(TENANT, key()))
            await w.clock.sleep(0.5)
            w.gateways.seconds = 3.0
            w.gateways.made["job_1/1"] += 3.0
            other = asyncio.create_task(w.consumer("two").run(TENANT, key()))
            await zombie  # ended by its own first result
            assert w.seen.counts["late apply"] == 1
            await other
            job = await w.get()
            assert (job.state, job.succeeded, job.usage.cost) == (JobState.SUCCEEDED, 2, 200)

    tried(main)


def test_a_job_that_was_cancelled_stops_its_calls():
    async def main():
        async with world() as w:
            await w.job(steps=3)
            w.gateways.seconds = 1000.0
            running = asyncio.create_task(w.consumer().run(TENANT, key()))
            await w.clock.sleep(1.0)
            await w.store.end(TENANT, "job_1", JobState.CANCELLED)
            await running
            assert w.clock.monotonic() < 1000.0 + 7.0
            assert sorted(w.gateways.abandoned) == ["job_1/0", "job_1/1", "job_1/2"]
            assert (await w.get()).succeeded == 0

    tried(main)


def test_leases_are_renewed_and_tell_the_tokens():
    async def main():
        async with world() as w:
            await w.job(steps=2)
            w.gateways.seconds = 100.0
            running = asyncio.create_task(w.consumer().run(TENANT, key()))
            await w.clock.sleep(60.0)
            assert (await w.get()).running_tokens == 14
            assert [due.task for due in await w.due()] == []  # nobody need send it again
            await running

    tried(main)


def test_what_passes_is_tried_again_in_its_place():
    async def main():
        async with world() as w:
            await w.job()
            w.gateways.failures = {"job_1/0": [failing(Reason.WORKER_LOST), failing(Reason.STREAM_INTERRUPTED)]}
            await w.consumer().run(TENANT, key())
            assert (await w.get()).succeeded == 1
            assert w.seen.counts["step retried"] == 2

    tried(main)


def test_what_does_not_pass_goes_to_the_retry_topics_and_does_not_count_as_a_death():
    async def main():
        async with world(patience_seconds=5.0) as w:
            await w.job()
            w.gateways.always = failing(Reason.NO_WORKER)
            consumer = w.consumer(attempts_max=2)
            for _ in range(5):
                with pytest.raises(RetryLaterError) as told:
                    await consumer.run(TENANT, key())
                assert told.value.lasting
            w.gateways.always = None
            await consumer.run(TENANT, key())
            assert (await w.get()).succeeded == 1

    tried(main)


def test_steps_that_run_are_finished_before_a_part_goes_to_the_retry_topics():
    async def main():
        async with world(patience_seconds=1.0) as w:
            await w.job(steps=2)
            w.gateways.seconds = 30.0
            w.gateways.failures = {"job_1/0": [failing(Reason.NO_WORKER)] * 100}
            with pytest.raises(RetryLaterError):
                await w.consumer().run(TENANT, key())
            assert (await w.get()).succeeded == 1

    tried(main)


def test_a_refusal_is_the_result():
    async def main():
        async with world() as w:
            await w.job()
            w.gateways.always = failing(Reason.BUDGET_EXCEEDED)
            await w.consumer().run(TENANT, key())
            job = await w.get()
            assert (job.state, job.failed) == (JobState.FAILED, 1)
            (result,) = await w.store.results(TENANT, "job_1", 0, 1)
            assert result.status_code == 429
            assert b"budget_exceeded" in result.body

    tried(main)


def test_the_store_is_waited_for_with_the_result_in_hand():
    async def main():
        async with world() as w:
            await w.job()
            running = asyncio.create_task(w.consumer().run(TENANT, key()))
            await w.clock.sleep(0.5)
            w.store.down = True
            await w.clock.sleep(60.0)
            assert not running.done()
            w.store.down = False
            await running
            assert (await w.get()).succeeded == 1
            assert w.gateways.asked == {"job_1/0": 1}

    tried(main)


def test_large_bodies_are_in_a_blob_before_the_store_hears_of_them():
    async def main():
        async with world() as w:
            await w.job()
            w.gateways.body = b"x" * 70_000
            w.blobs.down = True
            running = asyncio.create_task(w.consumer().run(TENANT, key()))
            await w.clock.sleep(3.0)
            assert (await w.get()).succeeded == 0
            w.blobs.down = False
            await running
            (result,) = await w.store.results(TENANT, "job_1", 0, 1)
            assert result.body == b""
            assert w.blobs.stored[result.blob] == w.gateways.body
            assert w.gateways.charged == {"job_1/0": 1}

    tried(main)


def test_large_requests_come_from_their_blob():
    async def main():
        async with world() as w:
            seen = []
            job = await w.job()
            record = w.store.of(TENANT).books.jobs[job.id]
            work, record.requests[0] = record.requests[0].work, replace(record.requests[0], work=b"", blob="jobs/a/b")
            w.blobs.stored["jobs/a/b"] = work
            perform = w.gateways.perform

            def noted(tenant, reservation, work, key, **more):
                seen.append(work)
                return perform(tenant, reservation, work, key, **more)

            w.gateways.perform = noted
            await w.consumer().run(TENANT, key())
            assert seen == [work]

    tried(main)


def test_a_call_has_the_jobs_own_time():
    async def main():
        async with world() as w:
            await w.job(expires=7200)
            await w.consumer().run(TENANT, key())
            assert w.gateways.timeouts == [pytest.approx(7200, abs=5)]

    tried(main)


def test_a_part_that_kills_its_consumers_is_buried_with_an_error_for_each_step():
    async def main():
        async with world() as w:
            await w.job(steps=2)
            w.gateways.seconds = 5.0
            w.gateways.made["job_1/0"] = w.clock.monotonic()  # one step gets through, the other one kills
            for place in range(3):
                consumer = w.consumer(str(place), attempts_max=3)
                consumer.means.desk._leave = lambda attempt: None  # SIGKILL: nobody gives the part back
                task = asyncio.create_task(consumer.run(TENANT, key()))
                await w.clock.sleep(1.0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            with pytest.raises(PoisonError) as told:
                await w.consumer("last", attempts_max=3).run(TENANT, key())
            assert "3 times" in str(told.value)
            job = await w.get()
            assert (job.state, job.succeeded, job.failed) == (JobState.FAILED, 1, 1)
            results = await w.store.results(TENANT, "job_1", 0, 10)
            assert [(each.custom_id, each.status_code) for each in results] == [("c0", 200), ("c1", 500)]
            # Its message again, before it is a dead letter: the same. Replayed from there: it runs.
            with pytest.raises(PoisonError):
                await w.consumer("again", attempts_max=3).run(TENANT, key())
            await w.consumer("replay", attempts_max=3).run(TENANT, key(), replayed=True)
            job = await w.get()
            assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, 2, 0)

    tried(main)


def test_an_orderly_stop_gives_parts_back_so_that_it_does_not_count():
    async def main():
        async with world() as w:
            await w.job()
            w.gateways.seconds = 100.0
            for place in range(5):
                consumer = w.consumer(str(place), attempts_max=2)
                task = asyncio.create_task(consumer.run(TENANT, key()))
                await w.clock.sleep(1.0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await consumer.means.desk.close()
            await w.consumer("last", attempts_max=2).run(TENANT, key())
            assert (await w.get()).succeeded == 1

    tried(main)


def test_unknown_jobs_and_ended_ones_are_left():
    async def main():
        async with world() as w:
            consumer = w.consumer()
            await consumer.run(TENANT, key(name="job_none"))
            await w.job()
            await w.store.end(TENANT, "job_1", JobState.CANCELLED)
            await consumer.run(TENANT, key())
            assert w.gateways.asked == {}

    tried(main)


def test_attempts_of_one_moment_begin_in_one_call_of_the_store():
    async def main():
        async with world() as w:
            for place in range(50):
                await w.job(f"job_{place}")
            calls = []
            begin = w.store.begin

            async def counted(tenant, asks):
                calls.append(len(asks))
                return await begin(tenant, asks)

            w.store.begin = counted
            consumer = w.consumer()
            consumer.means.desk._begins._call = counted
            await asyncio.gather(*(consumer.run(TENANT, key(name=f"job_{place}")) for place in range(50)))
            assert calls == [50]

    tried(main)
