"""The public gRPC face of jobs: over a real port, with the real jobs service behind it."""

from __future__ import annotations

import base64

import grpc
import pytest
from google.protobuf import message_factory
from headrace.common.v1.turns_pb2 import ROLE_USER, Turn
from headrace.gateway.v1 import work_pb2
from headrace.gateway.v1.chat_pb2 import ChatRequest
from headrace.jobs.v1 import jobs_pb2 as pb

from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from libs.testing.channels import grpc_settled
from services.gateway.api.grpc_jobs import SERVICE
from services.gateway.settings import GatewaySettings
from tests.unit.services.gateway.api.jobs.bench import with_bench
from tests.unit.services.jobs.accept_rig import CHAT, asked


class Stub:
    """Calls by name."""

    def __init__(self, channel):
        self._channel = channel

    def __call__(self, name, request, caller="ann", **metadata):
        found = SERVICE.methods_by_name[name]
        kind = message_factory.GetMessageClass(found.output_type)
        open_call = self._channel.unary_stream if found.server_streaming else self._channel.unary_unary
        call = open_call(f"/{SERVICE.full_name}/{name}", type(request).SerializeToString, kind.FromString)
        given = [(key.replace("_", "-"), value) for key, value in metadata.items()]
        return call(request, metadata=[("authorization", f"Bearer {caller}"), *given], timeout=10)


def with_stub(use, **options):
    async def scenario(bench):
        settings = RpcServerSettings(deadline_default_seconds=60.0)
        server = RpcServer("gateway", bench.gateway.handlers, settings, clock=bench.rig.clock)
        port = await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                return await use(bench, Stub(channel))
        finally:
            await server.stop()
            await grpc_settled()

    return with_bench(scenario, **options)


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code()


def test_a_job_goes_through_all_calls():
    async def use(bench, stub):
        job = (await stub("SubmitJob", asked(2))).job
        assert (job.state, bench.rig.gateways.seen[0][1].user) == (pb.JOB_STATE_REQUESTED, "ann")
        watch = stub("WatchJob", pb.WatchJobRequest(id=job.id))
        states = [(await watch.read()).job.state]
        await bench.rig.run_part(job.id)
        while (response := await watch.read()) is not grpc.aio.EOF:
            states.append(response.job.state)
        assert states[0] == pb.JOB_STATE_REQUESTED
        assert states[-1] == pb.JOB_STATE_SUCCEEDED
        found = await stub("GetJob", pb.GetJobRequest(id=job.id, results_max=5))
        assert [result.custom_id for result in found.results] == ["c0", "c1"]
        pages = [page async for page in stub("ReadResults", pb.ReadResultsRequest(id=job.id, first=1))]
        assert [result.step for page in pages for result in page.results] == [1]
        assert [each.id for each in (await stub("ListJobs", pb.ListJobsRequest())).jobs] == [job.id]
        assert (await stub("CancelJob", pb.CancelJobRequest(id=job.id))).job.state == pb.JOB_STATE_SUCCEEDED

    with_stub(use)


def test_a_request_may_be_given_as_a_message():
    async def use(bench, stub):
        chat = ChatRequest(model="large", messages=[Turn(role=ROLE_USER, text="hi")])
        request = pb.SubmitJobRequest(requests=[pb.JobRequest(work=work_pb2.Work(chat=chat))])
        job = (await stub("SubmitJob", request)).job
        (part,) = await bench.rig.store.parts("acme", job.id)
        assert part.models == ("large",)
        (work,) = bench.rig.gateways.seen[0][2]
        assert work_pb2.Work.FromString(work).path == CHAT
        other = pb.JobRequest(work=work_pb2.Work(chat=chat, path="/v1/embeddings"))
        code = await refused(stub("SubmitJob", pb.SubmitJobRequest(requests=[other])))
        assert code is grpc.StatusCode.INVALID_ARGUMENT

    with_stub(use)


def test_requests_are_counted_before_they_go_on():
    async def use(bench, stub):
        code = await refused(stub("SubmitJob", asked(3)))
        assert (code, bench.rig.gateways.seen) == (grpc.StatusCode.INVALID_ARGUMENT, [])
        assert (await stub("SubmitJob", asked(2))).job.total == 2

    with_stub(use, settings=GatewaySettings(jobs={"requests_max": 2}))


def test_the_key_makes_it_one_job():
    async def use(_, stub):
        one = await stub("SubmitJob", asked(), idempotency_key="k")
        two = await stub("SubmitJob", asked(), idempotency_key="k")
        assert (one.job.id, one.replayed, two.replayed) == (two.job.id, False, True)
        assert (await stub("SubmitJob", asked())).job.id != one.job.id
        code = await refused(stub("SubmitJob", asked(2), idempotency_key="k"))
        assert code is grpc.StatusCode.FAILED_PRECONDITION

    with_stub(use)


@pytest.mark.parametrize("name", sorted(SERVICE.methods_by_name))
def test_nobody_without_a_key_is_served(name):
    async def use(_, stub):
        kind = message_factory.GetMessageClass(SERVICE.methods_by_name[name].input_type)
        call = stub(name, kind(), "mallory")
        code = await refused(call.read() if hasattr(call, "read") else call)
        assert code is grpc.StatusCode.UNAUTHENTICATED

    with_stub(use)


@pytest.mark.parametrize("name", ["GetJob", "CancelJob", "WatchJob", "ReadResults"])
def test_a_caller_cannot_speak_for_another(name):
    """What a caller says of itself beside its key goes nowhere."""

    async def use(bench, stub):
        job = (await stub("SubmitJob", asked())).job
        ann = work_pb2.Caller(tenant="acme", key_id="key-1", user="ann").SerializeToString()
        kind = message_factory.GetMessageClass(SERVICE.methods_by_name[name].input_type)
        forged = {"x_headrace_caller": base64.b64encode(ann).decode(), "x_headrace_caller_bin": ann}
        call = stub(name, kind(id=job.id), "stranger", **forged)
        code = await refused(call.read() if hasattr(call, "read") else call)
        assert code is grpc.StatusCode.NOT_FOUND
        assert (await bench.rig.store.get("acme", job.id)).cancelled_ms == 0

    with_stub(use)


def test_without_a_jobs_service_the_methods_say_so():
    async def use(_, stub):
        assert await refused(stub("SubmitJob", asked())) is grpc.StatusCode.UNIMPLEMENTED
        watch = stub("WatchJob", pb.WatchJobRequest(id="job_1"))
        assert await refused(watch.read()) is grpc.StatusCode.UNIMPLEMENTED

    with_stub(use, jobs=False)
