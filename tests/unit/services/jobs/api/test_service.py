"""JobService over a channel, as gateways call it."""

import asyncio
import base64

import pytest
from google.protobuf import message_factory
from headrace.gateway.v1 import work_pb2
from headrace.jobs.v1 import jobs_pb2 as pb

from libs.errors import PlatformError, Reason
from libs.rpc.method import method
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run
from services.jobs.api.service import SERVICE
from tests.unit.services.jobs.accept_rig import ANN, BOB, Rig, asked


def of(name):
    found = SERVICE.methods_by_name[name]
    kinds = (message_factory.GetMessageClass(kind) for kind in (found.input_type, found.output_type))
    return method(SERVICE, name, *kinds)


def metadata(caller=ANN, **more):
    told = work_pb2.Caller(
        tenant=caller.tenant, key_id=caller.key_id, user=caller.user, manages_tenant=caller.manages_tenant
    )
    return {"x-headrace-caller": base64.b64encode(told.SerializeToString()).decode()} | more


class Service:
    def __init__(self, identity="gateway"):
        self.rig = Rig()
        self.channel = InMemoryChannel(self.rig.server.handlers(), identity=identity, clock=self.rig.clock)

    async def call(self, name, request, caller=ANN, **more):
        return await self.channel.call(of(name), request, timeout=60, metadata=metadata(caller, **more))

    def stream(self, name, request, caller=ANN):
        return self.channel.stream(of(name), request, timeout=60, metadata=metadata(caller))

    async def submit(self, *args, **more):
        return (await self.call("SubmitJob", asked(*args), **more)).job


async def refused(work):
    with pytest.raises(PlatformError) as raised:
        await work
    return raised.value


def test_a_job_is_submitted_told_of_and_done():
    async def main():
        service = Service()
        job = await service.submit(2)
        assert (job.state, job.total, job.reserved_nanodollars) == (pb.JOB_STATE_REQUESTED, 2, 200)
        await service.rig.run_part(job.id)
        found = await service.call("GetJob", pb.GetJobRequest(id=job.id, results_max=1))
        assert (found.job.state, found.job.succeeded, found.job.attempts) == (pb.JOB_STATE_SUCCEEDED, 2, 1)
        assert (found.job.usage.prompt_tokens, found.job.usage.cost_nanodollars) == (6, 14)
        assert [(each.step, each.custom_id, each.status_code) for each in found.results] == [(0, "c0", 200)]
        assert found.results[0].body == b'{"object":"chat.completion"}'

    run(main())


def test_the_key_makes_it_one_job():
    async def main():
        service = Service()
        one = await service.call("SubmitJob", asked(), **{"idempotency-key": "k"})
        two = await service.call("SubmitJob", asked(), **{"idempotency-key": "k"})
        assert (one.job.id, one.replayed, two.replayed) == (two.job.id, False, True)

    run(main())


def test_only_gateways_call_and_they_say_for_whom():
    async def main():
        service = Service("inference")
        assert (await refused(service.submit())).reason is Reason.PERMISSION_DENIED
        service = Service()
        for given in ({}, {"x-headrace-caller": "!"}, {"x-headrace-caller": ""}, {"x-headrace-caller": "AAAA"}):
            call = service.channel.call(of("SubmitJob"), asked(), timeout=1, metadata=given)
            assert (await refused(call)).reason is Reason.INVALID_API_KEY

    run(main())


@pytest.mark.parametrize("name", ["GetJob", "CancelJob"])
def test_jobs_of_others_do_not_exist(name):
    async def main():
        service = Service()
        job = await service.submit()
        request = of(name).request(id=job.id)
        assert (await refused(service.call(name, request, BOB))).reason is Reason.NOT_FOUND
        assert (await service.rig.store.get("acme", job.id)).cancelled_ms == 0

    run(main())


@pytest.mark.parametrize("name", ["WatchJob", "ReadResults"])
def test_streams_of_jobs_of_others_do_not_exist(name):
    async def main():
        service = Service()
        job = await service.submit()
        stream = service.stream(name, of(name).request(id=job.id), BOB)
        assert (await refused(stream.__anext__())).reason is Reason.NOT_FOUND

    run(main())


def test_a_cancel_ends_a_job_and_a_repeat_changes_nothing():
    async def main():
        service = Service()
        job = await service.submit()
        one = (await service.call("CancelJob", pb.CancelJobRequest(id=job.id))).job
        two = (await service.call("CancelJob", pb.CancelJobRequest(id=job.id))).job
        assert (one.state, two) == (pb.JOB_STATE_CANCELLED, one)
        assert one.cancelled_unix_ms > 0
        done = await service.submit()
        await service.rig.run_part(done.id)
        assert (await service.call("CancelJob", pb.CancelJobRequest(id=done.id))).job.state == pb.JOB_STATE_SUCCEEDED

    run(main())


def test_lists_are_paged():
    async def main():
        service = Service()
        ids = [(await service.submit()).id for _ in range(3)][::-1]
        page = await service.call("ListJobs", pb.ListJobsRequest(limit=2))
        assert ([job.id for job in page.jobs], page.has_more, page.next) == (ids[:2], True, ids[1])
        last = await service.call("ListJobs", pb.ListJobsRequest(limit=2, after=page.next))
        assert ([job.id for job in last.jobs], last.has_more, last.next) == (ids[2:], False, "")
        none = await service.call("ListJobs", pb.ListJobsRequest(state=pb.JOB_STATE_EXPIRED))
        assert not none.jobs
        assert (await refused(service.call("ListJobs", pb.ListJobsRequest(state=99)))).param == "state"

    run(main())


def test_a_watch_tells_of_changes_and_ends_with_the_job():
    async def main():
        service = Service()
        job = await service.submit()
        stream = service.stream("WatchJob", pb.WatchJobRequest(id=job.id))
        first = await stream.__anext__()
        await service.rig.run_part(job.id)
        states = [first.job.state] + [each.job.state async for each in stream]
        assert states == [pb.JOB_STATE_REQUESTED, pb.JOB_STATE_SUCCEEDED]
        assert len(service.rig.watches) == 0

    run(main())


def test_who_leaves_a_watch_is_watched_for_no_more():
    async def main():
        service = Service()
        job = await service.submit()
        stream = service.stream("WatchJob", pb.WatchJobRequest(id=job.id))
        await stream.__anext__()
        await asyncio.sleep(1)
        assert len(service.rig.watches) == 1
        stream.cancel()
        await asyncio.sleep(0.1)
        assert len(service.rig.watches) == 0

    run(main())


def test_results_are_streamed_in_messages_of_a_bounded_size():
    async def main():
        service = Service()
        job = await service.submit(20)
        for part in range(2):
            await service.rig.run_part(job.id, part, body=b"x" * 300_000)
        pages = [page async for page in service.stream("ReadResults", pb.ReadResultsRequest(id=job.id, first=1))]
        assert [each.step for page in pages for each in page.results] == list(range(1, 20))
        assert all(page.ByteSize() < 1_300_000 for page in pages)
        assert len(pages) > 3

    run(main())


def test_what_is_told_of_a_webhook_is_not_its_secret():
    async def main():
        service = Service()
        wanted = asked(webhook=pb.Webhook(url="https://example.com/hook", secret="very secret indeed"))
        job = (await service.call("SubmitJob", wanted)).job
        assert (job.webhook.url, job.webhook.state) == ("https://example.com/hook", "pending")
        assert b"very secret" not in job.SerializeToString()

    run(main())


def test_more_results_than_fit_are_not_promised():
    async def main():
        service = Service()
        job = await service.submit()
        request = pb.GetJobRequest(id=job.id, results_max=101)
        assert (await refused(service.call("GetJob", request))).param == "results_max"

    run(main())
