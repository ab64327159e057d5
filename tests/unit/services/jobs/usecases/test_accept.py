"""From a submission to a job that runs: once, whatever is repeated or dies, and nothing is left of what is refused."""

import asyncio

import pytest

from libs.errors import PlatformError, Reason
from libs.files import FileViewer, NewFile
from libs.kafka import BrokerUnavailableError
from libs.testing.loop import run
from services.jobs.domain.agenda import Due, Task
from services.jobs.domain.attempt import PartKey
from services.jobs.domain.job import JobState
from services.jobs.domain.submission import SubmissionLimits
from tests.unit.services.jobs.accept_rig import ANN, BOB, CHAT, Rig, asked, request

BUDGET = PlatformError(Reason.BUDGET_EXCEEDED, "The budget is used up.", started=False)
AWAY = PlatformError(Reason.WORKER_LOST, "No gateway answers.", started=False)


async def refused(rig, *args, **more):
    with pytest.raises(PlatformError) as raised:
        await rig.submit(*args, **more)
    return raised.value


def test_a_job_is_stored_paid_for_and_sent():
    rig = Rig(SubmissionLimits(part_requests=2))

    async def main():
        accepted = await rig.submit(asked(5, priority=7, metadata={"a": "b"}))
        job = accepted.job
        assert (job.state, job.total, job.parts, job.priority) == (JobState.REQUESTED, 5, 3, 7)
        assert (job.reserved, rig.gateways.held) == (500, {job.id: 500})
        assert (job.metadata, job.caller, accepted.replayed) == ({"a": "b"}, ANN, False)
        assert rig.outgoing.sent == [Due("acme", Task.SEND, job.id, part) for part in range(3)]
        parts = await rig.store.parts("acme", job.id)
        assert [part.models for part in parts] == [("small", "small"), ("small", "small"), ("small",)]
        requests = await rig.store.requests("acme", PartKey(job.id, 2))
        assert [(each.step, each.custom_id, each.model) for each in requests] == [(4, "c4", "small")]

    run(main())


def test_the_same_key_and_job_are_the_same_job():
    rig = Rig()

    async def main():
        one = await rig.submit(asked(), key="k")
        two = await rig.submit(asked(), key="k")
        assert (one.replayed, two.replayed, two.job.id) == (False, True, one.job.id)
        assert len(rig.gateways.seen) == 1
        assert len(rig.outgoing.sent) == 1

    run(main())


def test_the_same_key_with_another_job_is_refused():
    rig = Rig()

    async def main():
        one = await rig.submit(asked(), key="k")
        problem = await refused(rig, asked(2), key="k")
        assert (problem.reason, problem.http_status) == (Reason.IDEMPOTENCY_MISMATCH, 422)
        assert (await rig.store.get("acme", one.job.id)).total == 1
        other = await rig.submit(asked(2), BOB, key="k")
        assert other.job.id != one.job.id

    run(main())


def test_two_at_once_with_one_key_are_one_job_and_one_reservation():
    rig = Rig()

    async def main():
        one, two = await asyncio.gather(rig.submit(asked(), key="k"), rig.submit(asked(), key="k"))
        assert one.job.id == two.job.id
        assert rig.gateways.held == {one.job.id: 100}
        assert (await rig.store.get("acme", one.job.id)).reserved == 100

    run(main())


def test_what_the_gateway_refuses_leaves_nothing_and_the_key_free():
    rig = Rig()

    async def main():
        rig.gateways.fail = BUDGET
        large = [request("x" * 70_000)]
        wanted = asked()
        wanted.requests.extend(large)
        problem = await refused(rig, wanted, key="k")
        assert problem.reason is Reason.BUDGET_EXCEEDED
        assert await rig.store.list("acme", batches=False, after="", limit=10) == []
        assert (rig.blobs.stored, rig.outgoing.sent) == ({}, [])
        rig.gateways.fail = None
        assert (await rig.submit(wanted, key="k")).job.state is JobState.REQUESTED

    run(main())


def test_for_those_who_wait_for_no_answer_a_refusal_is_a_failed_job():
    rig = Rig()

    async def main():
        rig.gateways.fail = BUDGET
        accepted = await rig.submit(asked(), key="k", keep_refusal=True)
        assert accepted.job.state is JobState.FAILED
        assert (accepted.job.error.reason, accepted.job.error.message) == ("BUDGET_EXCEEDED", "The budget is used up.")
        rig.gateways.fail = None
        again = await rig.submit(asked(), key="k", keep_refusal=True)
        assert (again.job.state, again.replayed) == (JobState.FAILED, True)

    run(main())


@pytest.mark.parametrize("keep_refusal", [False, True])
@pytest.mark.parametrize(
    "problem", [AWAY, PlatformError(Reason.OVERLOADED, "Full.", started=False)], ids=["away", "full"]
)
def test_what_passes_refuses_nothing_and_a_repeat_goes_on_with_the_same_job(problem, keep_refusal):
    rig = Rig()

    async def main():
        rig.gateways.fail = problem
        told = Reason.JOBS_UNAVAILABLE if problem is AWAY else problem.reason
        assert (await refused(rig, asked(), key="k", keep_refusal=keep_refusal)).reason is told
        (left,) = await rig.store.list("acme", batches=False, after="", limit=10)
        assert left.state is JobState.ACCEPTING
        rig.gateways.fail = None
        accepted = await rig.submit(asked(), key="k")
        assert (accepted.job.id, accepted.job.state) == (left.id, JobState.REQUESTED)

    run(main())


def test_a_key_whose_job_was_given_up_is_accepted_under_another_id():
    """What was released under an id can never be set aside under it again."""
    rig = Rig()

    async def main():
        rig.gateways.fail = AWAY
        await refused(rig, asked(), key="k")
        rig.gateways.fail = None
        (left,) = await rig.store.list("acme", batches=False, after="", limit=10)
        await rig.gateways.release("acme", [left.id])
        await rig.store.refuse("acme", left.id, None)
        accepted = await rig.submit(asked(), key="k")
        assert (accepted.job.state, accepted.job.id != left.id) == (JobState.REQUESTED, True)
        assert rig.gateways.held == {accepted.job.id: 100}
        # The ledger forgets what was released long before the job is forgotten.
        rig.gateways.released.clear()
        again = await rig.submit(asked(), key="k")
        assert (again.job.id, again.replayed) == (accepted.job.id, True)

    run(main())


def test_an_acceptance_that_was_undone_meanwhile_keeps_no_money():
    rig = Rig()

    async def main():
        async def undo(job):
            await rig.store.refuse("acme", job, None)

        rig.gateways.on_reserve = undo
        problem = await refused(rig, asked(), key="k")
        assert (problem.reason, problem.started, rig.gateways.held) == (Reason.OVERLOADED, False, {})

    run(main())


def test_a_job_that_is_cancelled_while_it_is_accepted_keeps_no_money():
    rig = Rig()

    async def main():
        async def cancel(job):
            await rig.store.end("acme", job, JobState.CANCELLED)

        rig.gateways.on_reserve = cancel
        accepted = await rig.submit(asked())
        assert (accepted.job.state, rig.gateways.held, rig.outgoing.sent) == (JobState.CANCELLED, {}, [])

    run(main())


def test_kafka_may_be_away_the_agenda_has_the_messages():
    rig = Rig()

    async def main():
        rig.outgoing.fail = BrokerUnavailableError("no broker answers")
        accepted = await rig.submit(asked())
        assert accepted.job.state is JobState.REQUESTED
        due = await rig.store.claim("acme", 10, 1000)
        assert Due("acme", Task.SEND, accepted.job.id, 0) in due

    run(main())


def test_a_kafka_that_hangs_keeps_nobody_waiting():
    rig = Rig()

    async def main():
        rig.outgoing.stuck = asyncio.Event()
        began = asyncio.get_running_loop().time()
        assert (await rig.submit(asked())).job.state is JobState.REQUESTED
        assert asyncio.get_running_loop().time() - began == pytest.approx(1.0, abs=0.01)

    run(main())


def test_large_requests_stand_in_blobs_before_the_job_is_confirmed():
    rig = Rig()

    async def main():
        wanted = asked()
        wanted.requests.append(request("x" * 70_000, "big"))
        seen = []

        async def look(job):
            seen.append(((await rig.store.get("acme", job)).state, len(rig.blobs.stored)))

        rig.gateways.on_reserve = look
        job = (await rig.submit(wanted)).job
        assert seen == [(JobState.ACCEPTING, 1)]
        small, large = await rig.store.requests("acme", PartKey(job.id, 0))
        assert (small.blob, large.work) == ("", b"")
        assert rig.blobs.stored[large.blob] == wanted.requests[1].work.SerializeToString(deterministic=True)
        assert rig.gateways.seen[0][2][1] == rig.blobs.stored[large.blob]

    run(main())


def test_a_repeat_puts_large_requests_where_the_stored_job_looks_for_them():
    """The first try died before its blobs were there; the second has other random names of its own."""
    rig = Rig()

    async def main():
        wanted = asked(0)
        wanted.requests.append(request("x" * 70_000))
        rig.blobs.down = True
        assert (await refused(rig, wanted, key="k")).reason is Reason.STORE_UNAVAILABLE
        rig.blobs.down = False
        job = (await rig.submit(wanted, key="k")).job
        (kept,) = await rig.store.requests("acme", PartKey(job.id, 0))
        assert list(rig.blobs.stored) == [kept.blob]

    run(main())


def batch_of(file_id):
    wanted = asked(0)
    wanted.input_file_id, wanted.endpoint, wanted.batch, wanted.expires_in_seconds = file_id, CHAT, True, 86_400
    return wanted


async def upload(rig, purpose="batch", caller=ANN):
    async def pieces():
        yield b"{}\n"

    viewer = FileViewer(tenant=caller.tenant, key_id=caller.key_id, user=caller.user)
    return await rig.files.create(viewer, NewFile(filename="in.jsonl", purpose=purpose), pieces())


def test_a_batch_waits_for_its_file_to_be_read():
    rig = Rig()

    async def main():
        file = await upload(rig)
        job = (await rig.submit(batch_of(file.id))).job
        assert (job.state, job.batch.input_file_id, job.batch.endpoint) == (JobState.ACCEPTING, file.id, CHAT)
        assert rig.outgoing.sent == [Due("acme", Task.EXPAND, job.id)]
        assert (rig.gateways.seen, job.id.startswith("batch_")) == ([], True)

    run(main())


def test_a_batch_of_a_file_that_is_not_ones_own_or_of_another_purpose_is_refused():
    rig = Rig()

    async def main():
        theirs, output = await upload(rig, caller=BOB), await upload(rig, purpose="batch_output")
        for file_id in ("file-000000000000000000000000", theirs.id, output.id):
            problem = await refused(rig, batch_of(file_id))
            assert (problem.reason, problem.param) == (Reason.INVALID_REQUEST, "input_file_id")
        assert await rig.store.list("acme", batches=True, after="", limit=10) == []

    run(main())


def test_a_repeat_of_a_batch_needs_its_file_no_more():
    rig = Rig()

    async def main():
        file = await upload(rig)
        one = await rig.submit(batch_of(file.id), key="k")
        await rig.files.delete(FileViewer(tenant="acme", key_id="key-1"), file.id)
        two = await rig.submit(batch_of(file.id), key="k")
        assert (two.job.id, two.replayed) == (one.job.id, True)

    run(main())


def test_requests_given_as_a_batch_are_paid_at_its_price():
    rig = Rig()

    async def main():
        job = (await rig.submit(asked(2, batch=True))).job
        assert rig.gateways.seen[0][3] is True
        assert (job.batch.input_file_id, job.batch.endpoint) == ("", CHAT)

    run(main())
