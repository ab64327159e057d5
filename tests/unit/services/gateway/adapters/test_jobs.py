"""The jobs service over RPC: in whose name, from which replica, and what its failures mean."""

import base64

import pytest
from headrace.gateway.v1 import work_pb2
from headrace.jobs.v1 import jobs_pb2 as pb

from libs.errors import PlatformError, Reason
from libs.rpc.api import Handler
from libs.testing.clock import FakeClock
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run
from services.gateway.adapters.jobs import RpcJobs, as_jobs_error, metadata_of
from services.gateway.domain.accounts.records import Role
from services.gateway.domain.turns import Principal

ANN = Principal("acme", "key-1", account_user="ann")


def told(principal):
    metadata = metadata_of(principal)
    return work_pb2.Caller.FromString(base64.b64decode(metadata["x-headrace-caller"]))


def test_who_calls_is_said_in_full():
    assert told(ANN) == work_pb2.Caller(tenant="acme", key_id="key-1", user="ann")
    for role in Role:
        manages = told(Principal("acme", "k", role=role)).manages_tenant
        assert manages == (role in (Role.ADMIN, Role.TENANT_ADMIN))
    assert "idempotency-key" not in metadata_of(ANN)
    assert metadata_of(ANN, "k")["idempotency-key"] == "k"


def edge(*serves):
    """One replica per function that serves GetJob."""
    clock = FakeClock()
    jobs = RpcJobs([], clock, lambda: 0.0)
    method = jobs._methods["GetJob"]
    channels = [
        InMemoryChannel([Handler(method, serve)], address=f"jobs-{place}", clock=clock)
        for place, serve in enumerate(serves)
    ]
    return RpcJobs(channels, clock, lambda: 0.0)


async def answers(request, info):
    return pb.GetJobResponse(job=pb.Job(id=request.id))


async def leaves(request, info):
    raise PlatformError(Reason.DRAINING, "stopping", started=False)


def test_a_replica_that_leaves_is_passed_by():
    async def main():
        found = await edge(leaves, answers).call("GetJob", pb.GetJobRequest(id="x"), ANN, timeout=1)
        assert found.job.id == "x"

    run(main())


def test_no_replica_is_a_jobs_service_that_does_not_answer():
    async def main():
        with pytest.raises(PlatformError) as raised:
            await edge(leaves, leaves).call("GetJob", pb.GetJobRequest(id="x"), ANN, timeout=1)
        problem = raised.value
        assert (problem.reason, problem.http_status, problem.retry_after_seconds) == (Reason.JOBS_UNAVAILABLE, 503, 1.0)

    run(main())


@pytest.mark.parametrize("reason", [Reason.NOT_FOUND, Reason.STORE_UNAVAILABLE, Reason.BUDGET_EXCEEDED])
def test_what_the_service_says_is_told_as_it_is(reason):
    problem = PlatformError(reason, "so")
    assert as_jobs_error(problem) is problem


@pytest.mark.parametrize(
    "reason",
    [Reason.WORKER_LOST, Reason.CANCELLED, Reason.UNIMPLEMENTED, Reason.PERMISSION_DENIED, Reason.DEADLINE_EXCEEDED],
)
def test_what_the_edge_says_is_nothing_about_the_clients_call(reason):
    assert as_jobs_error(PlatformError(reason, "so")).reason is Reason.JOBS_UNAVAILABLE
