"""Jobs from their submission to their last event, through everything but the network."""

from __future__ import annotations

import asyncio

from libs.errors import Reason
from libs.kafka import Record
from libs.testing.loop import run
from services.jobs.adapters.outgoing import FINISHED, REQUESTED
from services.jobs.domain.job import JobState
from tests.unit.services.jobs.composition.rig import KEEP_SECONDS, rig
from tests.unit.services.jobs.running_world import TENANT, failing

WEBHOOK = {"url": "https://example.com/hook", "secret": "s" * 20}


def tried(main):
    run(main())


def test_a_job_goes_from_its_submission_to_its_event_and_webhook():
    async def main():
        async with rig() as r:
            process = r.start()
            name = await r.submit(3, webhook=WEBHOOK)
            (job,) = await r.ended(name)
            assert (job.state, job.succeeded, job.attempts) == (JobState.SUCCEEDED, 3, 1)
            await r.until(lambda: bool(r.hooks.calls))
            assert r.finished() == [name]
            assert r.requested() == [(name, 0)]
            assert r.gateways.released == [name]
            assert r.hooks.calls[0][0] == WEBHOOK["url"]
            assert 'headrace_jobs_ended_total{state="succeeded"} 1.0' in process.metric("headrace_jobs_ended")
            assert 'headrace_jobs_attempts_total{verdict="applied"} 1.0' in process.metric("headrace_jobs_attempts")

    tried(main)


def test_many_jobs_end_once_each():
    async def main():
        async with rig() as r:
            r.start()
            names = await asyncio.gather(*(r.submit(2) for _ in range(100)))
            jobs = await r.ended(*names)
            assert all((job.state, job.succeeded) == (JobState.SUCCEEDED, 2) for job in jobs)
            assert sorted(r.finished()) == sorted(names)
            assert set(r.gateways.charged.values()) == {1}

    tried(main)


def test_the_roles_work_apart():
    async def main():
        async with rig() as r:
            consumer = r.start("consumer", roles=("consumer",))
            api = r.start("api", roles=("api",))
            assert consumer.service.handlers == ()
            assert (api.service.loops, api.service.consumers) == ({}, {})
            name = await r.submit(2, process=api)
            (job,) = await r.ended(name)
            assert job.succeeded == 2

    tried(main)


def test_a_killed_consumers_jobs_are_done_by_another_one_once_in_effect():
    async def main():
        async with rig() as r:
            first = r.start()
            r.gateways.seconds = 30.0
            names = [await r.submit() for _ in range(10)]
            await r.clock.sleep(5.0)
            r.start("two")
            await first.kill()
            jobs = await r.ended(*names)
            assert all(job.state is JobState.SUCCEEDED for job in jobs)
            assert sum(job.attempts for job in jobs) > 10
            assert set(r.gateways.charged.values()) == {1}
            assert sorted(set(r.finished())) == sorted(names)

    tried(main)


def test_what_a_broker_has_lost_is_sent_again():
    async def main():
        async with rig() as r:
            r.start()
            r.losing = True
            waiting = [await r.submit() for _ in range(5)]
            r.losing = False
            jobs = await r.ended(*waiting)
            assert all(job.state is JobState.SUCCEEDED for job in jobs)

    tried(main)


def test_jobs_are_accepted_while_kafka_is_away_and_sent_later():
    async def main():
        async with rig() as r:
            r.start()
            r.broker.up = False
            names = [await r.submit() for _ in range(5)]
            assert [(await r.job(name)).state for name in names] == [JobState.REQUESTED] * 5
            await r.clock.sleep(120.0)
            assert r.requested() == []
            r.broker.up = True
            jobs = await r.ended(*names)
            assert all(job.state is JobState.SUCCEEDED for job in jobs)

    tried(main)


def test_a_topic_that_is_replayed_changes_nothing():
    async def main():
        async with rig() as r:
            r.start()
            names = [await r.submit(2, webhook=WEBHOOK) for _ in range(10)]
            await r.ended(*names)
            await r.until(lambda: len(r.hooks.calls) == 10)
            before = [await r.job(name) for name in names]
            for topic in (REQUESTED, FINISHED):
                for record in r.broker.records(topic) * 3:
                    r.broker.append(Record(topic, record.key, record.value, record.headers))
            await r.clock.sleep(100.0)
            assert [await r.job(name) for name in names] == before
            assert len(r.hooks.calls) == 10
            assert len(r.gateways.asked) == 20
            assert set(r.gateways.asked.values()) == {1}

    tried(main)


def test_a_job_that_expires_frees_its_money_and_tells_its_end():
    async def main():
        async with rig() as r:
            r.start()
            r.gateways.seconds = 100_000.0
            name = await r.submit(expires_in_seconds=600)
            (job,) = await r.ended(name, seconds=700)
            assert job.state is JobState.EXPIRED
            await r.clock.sleep(30.0)
            assert r.gateways.abandoned == [f"{name}/0"]
            assert r.gateways.released == [name]
            assert r.finished() == [name]

    tried(main)


def test_an_end_that_cannot_be_told_is_told_later():
    async def main():
        async with rig() as r:
            r.start()
            name = await r.submit()
            r.gateways.failures["release"] = [failing(Reason.STORE_UNAVAILABLE)] * 3
            await r.ended(name, seconds=200)
            assert r.finished() == [name]
            assert r.gateways.released == [name]

    tried(main)


def test_a_long_queue_is_not_sent_over_and_over():
    async def main():
        async with rig(attempts={"parts_max": 4}) as r:
            r.start()
            r.gateways.seconds = 60.0
            names = [await r.submit() for _ in range(80)]  # twenty minutes of work
            jobs = await r.ended(*names, seconds=3600)
            assert all(job.state is JobState.SUCCEEDED for job in jobs)
            assert len(r.requested()) < 2 * len(names)

    tried(main)


def test_a_bad_message_does_not_hold_up_others():
    async def main():
        async with rig() as r:
            r.start()
            name = await r.submit()
            bad = Record(REQUESTED, b"x/y", b"\xff\xff", r.broker.records(REQUESTED)[0].headers)
            unsigned = Record(REQUESTED, b"x/y", b"", ())
            r.broker.append(bad)
            r.broker.append(unsigned)
            other = await r.submit()
            await r.ended(name, other)
            await r.until(lambda: len(r.messages(f"{REQUESTED}.dead")) == 2)

    tried(main)


def test_what_was_kept_long_enough_is_forgotten_with_its_blobs():
    async def main():
        async with rig() as r:
            r.start()
            r.gateways.body = b"x" * 70_000
            name = await r.submit()
            await r.ended(name)
            assert r.blobs.stored
            await r.clock.sleep(KEEP_SECONDS + 60)
            assert await r.store.get(TENANT, name) is None
            assert r.blobs.stored == {}

    tried(main)
