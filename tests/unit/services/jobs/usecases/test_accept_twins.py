"""The same submission twice at once, and given up in between: one job, with what it needs, and nothing else is left."""

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.jobs.domain.attempt import PartKey
from services.jobs.domain.job import JobState
from tests.unit.services.jobs.accept_rig import Rig, asked, request


async def refused(rig, *args, **more):
    with pytest.raises(PlatformError) as raised:
        await rig.submit(*args, **more)
    return raised.value


def once(do):
    """A hook for the first reservation alone."""
    left = [do]

    async def hook(job):
        if left:
            await left.pop()(job)

    return hook


def test_a_submission_slower_than_its_twins_whole_job_is_no_second_job():
    """A gateway repeats a call that gets no answer; the first one, frozen for a while, goes on after the job's end."""
    rig = Rig()

    async def main():
        async def whole_life(job):
            twin = await rig.submit(asked(), key="k")
            assert twin.job.id == job
            await rig.run_part(job)
            await rig.gateways.release("acme", [job])
            await rig.store.told("acme", job, (await rig.store.get("acme", job)).version, None)

        rig.gateways.on_reserve = once(whole_life)
        late = await rig.submit(asked(), key="k")
        (job,) = await rig.store.list("acme", batches=False, after="", limit=10)
        assert (late.job.id, late.job.state) == (job.id, JobState.SUCCEEDED)
        assert (rig.gateways.held, len(rig.outgoing.sent)) == ({}, 1)

    run(main())


@pytest.mark.parametrize("keep_refusal", [False, True])
def test_a_refusal_takes_nothing_from_the_job_that_a_twin_became(keep_refusal):
    rig = Rig()

    async def main():
        wanted = asked(0)
        wanted.requests.append(request("x" * 70_000))

        async def accepted_then_blocked(job):
            assert (await rig.submit(wanted, key="k")).job.id == job
            rig.gateways.fail = PlatformError(Reason.INVALID_API_KEY, "The key is blocked.", started=False)

        rig.gateways.on_reserve = once(accepted_then_blocked)
        job = (await rig.submit(wanted, key="k", keep_refusal=keep_refusal)).job
        assert (job.state, job.error) == (JobState.REQUESTED, None)
        (kept,) = await rig.store.requests("acme", PartKey(job.id, 0))
        assert list(rig.blobs.stored) == [kept.blob]

    run(main())


def test_what_was_given_up_leaves_no_large_requests():
    """Given up before the money was set aside under its id, or after it: nobody would ever look for them again."""
    rig = Rig()

    async def main():
        wanted = asked(0)
        wanted.requests.append(request("x" * 70_000))

        async def undo_after_release(job):
            await rig.gateways.release("acme", [job])
            await rig.store.refuse("acme", job, None)

        rig.gateways.on_reserve = once(undo_after_release)
        job = (await rig.submit(wanted, key="spent")).job
        (kept,) = await rig.store.requests("acme", PartKey(job.id, 0))
        assert list(rig.blobs.stored) == [kept.blob]

        async def undo(job):
            await rig.store.refuse("acme", job, None)

        rig.gateways.on_reserve = undo
        assert (await refused(rig, wanted, key="undone")).reason is Reason.OVERLOADED
        assert list(rig.blobs.stored) == [kept.blob]

    run(main())


def test_a_key_of_which_every_life_was_given_up_asks_for_another_one():
    rig = Rig()

    async def main():
        async def undo(job):
            await rig.gateways.release("acme", [job])
            await rig.store.refuse("acme", job, None)

        rig.gateways.on_reserve = undo
        assert (await refused(rig, asked(), key="k")).reason is Reason.CONFLICT
        assert (await refused(rig, asked())).reason is Reason.OVERLOADED
        rig.gateways.on_reserve = None
        problem = await refused(rig, asked(), key="k")
        assert (problem.reason, problem.param) == (Reason.CONFLICT, "Idempotency-Key")
        assert "another key" in problem.message
        assert (await rig.submit(asked(), key="another")).job.state is JobState.REQUESTED

    run(main())
