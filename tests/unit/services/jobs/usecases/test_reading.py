"""Jobs as their callers see them."""

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.jobs.domain.attempt import BeginAsk, Effect, PartKey
from services.jobs.domain.job import Caller, JobState, StepResult
from services.jobs.usecases.reading import RESULT_BYTES_MAX
from tests.unit.services.jobs.accept_rig import ANN, BOB, BOSS, STRANGER, Rig, asked


async def unknown(rig, caller, job):
    with pytest.raises(PlatformError) as raised:
        await rig.reader.get(caller, job)
    return raised.value


async def ids(rig, caller, **more):
    page = await rig.reader.list(caller, **({"batches": False, "after": "", "limit": 0, "state": None} | more))
    return [job.id for job in page.jobs], page.has_more, page.after


def test_a_job_is_seen_by_its_key_its_user_and_who_manages_the_tenant():
    rig = Rig()

    async def main():
        job = (await rig.submit(asked())).job
        for caller in (ANN, Caller("acme", "key-1"), Caller("acme", "key-5", "ann"), BOSS):
            assert (await rig.reader.get(caller, job.id)).id == job.id
        for caller in (BOB, STRANGER, Caller("acme", "key-5")):
            problem = await unknown(rig, caller, job.id)
            assert problem.reason is Reason.NOT_FOUND
            assert problem.message == (await unknown(rig, caller, "job_none")).message.replace("job_none", job.id)

    run(main())


def test_lists_hold_the_callers_own_jobs_newest_first_page_by_page():
    rig = Rig()

    async def main():
        mine = [(await rig.submit(asked())).job.id for _ in range(5)][::-1]
        theirs = (await rig.submit(asked(), BOB)).job.id
        assert await ids(rig, ANN, limit=2) == (mine[:2], True, mine[1])
        assert await ids(rig, ANN, limit=2, after=mine[1]) == (mine[2:4], True, mine[3])
        assert await ids(rig, ANN, limit=2, after=mine[3]) == (mine[4:], False, mine[4])
        assert await ids(rig, BOSS) == ([theirs, *mine], False, mine[-1])
        assert (await ids(rig, STRANGER))[0] == []
        with pytest.raises(PlatformError) as raised:
            await ids(rig, ANN, limit=101)
        assert raised.value.param == "limit"

    run(main())


def test_batches_are_listed_apart():
    rig = Rig()

    async def main():
        job, batch = (await rig.submit(asked())).job.id, (await rig.submit(asked(batch=True))).job.id
        assert ((await ids(rig, ANN))[0], (await ids(rig, ANN, batches=True))[0]) == ([job], [batch])

    run(main())


def test_a_state_is_looked_for_behind_others():
    rig = Rig()

    async def main():
        jobs = [(await rig.submit(asked())).job.id for _ in range(7)]
        for job in (jobs[1], jobs[3]):
            await rig.run_part(job)
        succeeded = JobState.SUCCEEDED
        found, more, after = await ids(rig, ANN, state=succeeded, limit=1)
        assert (found, more) == ([jobs[3]], True)
        assert (await ids(rig, ANN, state=succeeded, limit=1, after=after))[0] == [jobs[1]]
        assert await ids(rig, ANN, state=succeeded, limit=5, after=after) == ([jobs[1]], False, jobs[0])
        assert (await ids(rig, ANN, state=JobState.EXPIRED))[:2] == ([], False)

    run(main())


def test_a_search_for_a_state_ends_and_can_go_on(monkeypatch):
    monkeypatch.setattr("services.jobs.usecases.reading.SCANNED_MAX", 200)
    rig = Rig()

    async def main():
        first = (await rig.submit(asked())).job.id
        await rig.run_part(first)
        for _ in range(250):
            await rig.submit(asked())
        found, more, after = await ids(rig, ANN, state=JobState.SUCCEEDED)
        assert (found, more) == ([], True)
        assert (await ids(rig, ANN, state=JobState.SUCCEEDED, after=after))[:2] == ([first], False)

    run(main())


async def answered(rig, bodies, blobs=()):
    job = (await rig.submit(asked(len(bodies)))).job
    for part in range(job.parts):
        key = PartKey(job.id, part)
        (begun,) = await rig.store.begin("acme", [BeginAsk(key, "me", 1000, 3)])
        steps = range(begun.part.first, begun.part.first + begun.part.count)
        results = tuple(
            StepResult(
                step, f"c{step}", 200, blob=bodies[step] if step in blobs else "", body=_body(bodies, step, blobs)
            )
            for step in steps
            if bodies[step] is not None
        )
        await rig.store.apply("acme", [Effect(key, begun.epoch, results)])
    return await rig.store.get("acme", job.id)


def _body(bodies, step, blobs):
    return b"" if step in blobs else bodies[step]


def test_results_come_in_order_from_anywhere_wherever_they_stand():
    rig = Rig()

    async def main():
        await rig.blobs.put("jobs/acme/x/result-1", b"in a blob")
        bodies = [b"%d" % step for step in range(40)]
        bodies[1], bodies[7], bodies[30] = "jobs/acme/x/result-1", None, "jobs/acme/x/gone"
        job = await answered(rig, bodies, blobs={1, 30})
        read = [each async for page in rig.reader.results(job, 0) for each in page]
        assert [each.result.step for each in read] == [step for step in range(40) if step != 7]
        assert (read[0].body, read[1].body) == (b"0", b"in a blob")
        assert b"no longer kept" in next(each.body for each in read if each.result.step == 30)
        late = [each.result.step async for page in rig.reader.results(job, 38) for each in page]
        assert late == [38, 39]

    run(main())


def test_a_blob_store_that_fails_is_no_missing_answer():
    rig = Rig()

    async def main():
        job = await answered(rig, ["jobs/acme/x/result-0"], blobs={0})
        rig.blobs.down = True
        with pytest.raises(PlatformError) as raised:
            await rig.reader.first_results(job, 10)
        assert raised.value.reason is Reason.STORE_UNAVAILABLE

    run(main())


def test_as_many_results_come_with_a_job_as_fit_a_message():
    rig = Rig()

    async def main():
        half = RESULT_BYTES_MAX // 2
        job = await answered(rig, [b"x" * half, b"x" * half, b"x", b"x"])
        assert len(await rig.reader.first_results(job, 100)) == 2
        assert len(await rig.reader.first_results(job, 1)) == 1
        huge = await answered(rig, [b"x" * (RESULT_BYTES_MAX + 1), b"x"])
        assert len(await rig.reader.first_results(huge, 100)) == 1

    run(main())
