"""Jobs submitted through the topic itself: what is signed runs, what is forged is a dead letter."""

from __future__ import annotations

from headrace.events.v1 import jobs_pb2 as events
from headrace.gateway.v1.work_pb2 import Work

from libs.kafka.events import event_record
from libs.kafka.signature import sign
from libs.testing.loop import run
from services.jobs.adapters.outgoing import REQUESTED
from services.jobs.domain.job import JobState
from tests.unit.services.jobs.composition.rig import rig
from tests.unit.services.jobs.running_world import TENANT

SECRET = "m" * 40
DEAD = f"{REQUESTED}.dead"


def submission(*, tenant=TENANT, secret=SECRET, event_id="e1"):
    value = events.JobRequested(tenant=tenant)
    value.submission.key_id = "k"
    work = Work(body=b'{"model": "m", "messages": []}', path="/v1/chat/completions")
    value.submission.job.requests.add(work=work)
    record = event_record(topic=REQUESTED, key=b"x", value=value, source="memory", id=event_id, time=1.0)
    return sign(record, secret.encode()) if secret else record


def tried(tmp_path, use):
    file = tmp_path / "memory.secret"
    file.write_text(SECRET)
    file.chmod(0o600)
    producers = [{"name": "memory", "secret_files": [str(file)], "tenants": [TENANT]}]

    async def main():
        async with rig(producers=producers) as r:
            r.start()
            await r.until(lambda: REQUESTED in r.broker.topics)
            await use(r)

    run(main())


def dead(r):
    return r.messages(DEAD) if DEAD in r.broker.topics else []


async def jobs(r, tenant=TENANT):
    return await r.store.list(tenant, batches=False, after="", limit=100)


def test_a_signed_submission_is_done_once_however_often_it_comes(tmp_path):
    async def use(r):
        for _ in range(3):
            r.broker.append(submission())
        await r.until(lambda: len(r.finished()) == 1)
        for _ in range(3):
            r.broker.append(submission())
        await r.clock.sleep(60.0)
        (job,) = await jobs(r)
        assert (job.state, job.succeeded, job.caller.key_id) == (JobState.SUCCEEDED, 1, "k")
        assert r.finished() == [job.id]
        assert set(r.gateways.charged.values()) == {1}
        assert dead(r) == []

    tried(tmp_path, use)


def test_forgeries_are_dead_letters_and_what_is_behind_them_goes_on(tmp_path):
    async def use(r):
        forged = [submission(secret=""), submission(secret="w" * 40), submission(tenant="other")]
        for each in (*forged, submission(event_id="good")):
            r.broker.append(each)
        await r.until(lambda: len(r.finished()) == 1 and len(dead(r)) == len(forged))
        assert await jobs(r, "other") == []
        assert len(await jobs(r)) == 1

    tried(tmp_path, use)
