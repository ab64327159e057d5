"""Jobs submitted through Kafka: signed, for one's own tenants, once."""

import pytest
from headrace.events.v1 import jobs_pb2 as events

from libs.errors import PlatformError, Reason
from libs.kafka.events import event_record
from libs.kafka.handling import Delivery, PoisonError
from libs.kafka.signature import sign
from libs.testing.loop import run
from services.jobs.consumers.submission import SubmissionTaker
from services.jobs.domain.job import Caller, JobState
from services.jobs.usecases.submission import Producer, Submissions
from tests.unit.services.jobs.accept_rig import Rig, asked

MEMORY, OTHERS = b"m" * 32, b"o" * 32


def taker(rig, **tenants):
    producers = {
        "memory": Producer([b"x" * 32, MEMORY], frozenset(tenants.get("memory", {"acme"}))),
        "others": Producer([OTHERS], frozenset({"other"})),
    }
    return SubmissionTaker(Submissions(rig.acceptor, producers))


def message(job=None, *, source="memory", secret=MEMORY, tenant="acme", key_id="key-1", event_id="e1", key=""):
    value = events.JobRequested(tenant=tenant)
    value.submission.CopyFrom(events.JobRequested.Submission(key_id=key_id, job=job or asked(), idempotency_key=key))
    record = event_record(topic="t", key=b"acme/x", value=value, source=source, id=event_id, time=1.0)
    signed = sign(record, secret) if secret else record
    return Delivery("t", 0, 0, signed.key, signed.value, dict(signed.headers)), value


async def jobs(rig, tenant="acme"):
    return await rig.store.list(tenant, batches=False, after="", limit=10)


def test_a_signed_submission_is_a_job_however_often_it_comes():
    rig = Rig()

    async def main():
        for _ in range(3):
            await taker(rig)(*message())
        (job,) = await jobs(rig)
        assert (job.state, job.caller.key_id, job.caller.tenant) == (JobState.REQUESTED, "key-1", "acme")
        assert len(rig.gateways.seen) == 1
        await taker(rig)(*message(event_id="e2"))
        assert len(await jobs(rig)) == 2

    run(main())


def test_a_key_is_the_same_wherever_it_comes_from():
    rig = Rig()

    async def main():
        await taker(rig)(*message(key="k"))
        await taker(rig)(*message(key="k", event_id="e2"))
        (job,) = await jobs(rig)
        again = await rig.submit(asked(), Caller("acme", "key-1"), key="k")
        assert (again.job.id, again.replayed) == (job.id, True)

    run(main())


def test_ids_of_events_are_no_keys_of_anybody_elses():
    rig = Rig()

    async def main():
        await taker(rig)(*message(event_id="k"))
        await taker(rig, memory={"acme"})(*message(event_id="k", key="k"))
        assert len(await jobs(rig)) == 2

    run(main())


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: message(secret=None), "not signed"),
        (lambda: message(secret=b"w" * 32), "does not match"),
        (lambda: message(source="nobody"), "no known producer"),
        (lambda: message(source="others", secret=MEMORY), "does not match"),
        (lambda: message(source="others", secret=OTHERS), "may not submit jobs for the tenant 'acme'"),
        (lambda: message(key_id=""), "nobody's name"),
        (lambda: message(tenant=""), "nobody's name"),
    ],
)
def test_a_forgery_is_poison_and_leaves_nothing(made, why):
    rig = Rig()

    async def main():
        with pytest.raises(PoisonError, match=why):
            await taker(rig)(*made())
        assert (await jobs(rig), rig.gateways.seen) == ([], [])

    run(main())


def test_a_changed_tenant_breaks_the_signature():
    rig = Rig()

    async def main():
        delivery, value = message(source="others", secret=OTHERS, tenant="other")
        value.tenant = "acme"
        delivery.value = value.SerializeToString()
        with pytest.raises(PoisonError, match="does not match"):
            await taker(rig)(delivery, value)

    run(main())


def test_a_producer_may_be_trusted_with_every_tenant():
    rig = Rig()

    async def main():
        await taker(rig, memory={"*"})(*message(tenant="third"))
        assert len(await jobs(rig, "third")) == 1

    run(main())


def test_what_can_be_no_job_is_poison():
    rig = Rig()

    async def main():
        with pytest.raises(PoisonError, match="INVALID_REQUEST"):
            await taker(rig)(*message(asked(2, priority=1000)))
        await taker(rig)(*message(key="k"))
        with pytest.raises(PoisonError, match="IDEMPOTENCY_MISMATCH"):
            await taker(rig)(*message(asked(2), key="k"))

    run(main())


def test_a_refusal_by_the_gateway_is_a_failed_job():
    rig = Rig()

    async def main():
        rig.gateways.fail = PlatformError(Reason.BUDGET_EXCEEDED, "Used up.", started=False)
        await taker(rig)(*message())
        (job,) = await jobs(rig)
        assert (job.state, job.error.reason) == (JobState.FAILED, "BUDGET_EXCEEDED")

    run(main())


def test_what_passes_is_tried_again():
    rig = Rig()

    async def main():
        rig.gateways.fail = PlatformError(Reason.WORKER_LOST, "away", started=False)
        with pytest.raises(PlatformError):
            await taker(rig)(*message())
        rig.gateways.fail = None
        await taker(rig)(*message())
        (job,) = await jobs(rig)
        assert job.state is JobState.REQUESTED

    run(main())
