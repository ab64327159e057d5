"""The pipeline over real sockets and both transports: a worker dies, drains, and a client goes away."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from libs.clock import SystemClock
from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from libs.testing.loop import run_real
from services.gateway.adapters.assembly import PipelineOptions, open_pipeline
from services.gateway.usecases.ledger.testing import null_charges
from tests.unit.services.gateway.usecases.world import ALICE, Owners, Router, Seen, Worker, ask, whole

TRANSPORTS = ["trunk", "grpc"]
TOKEN = "internal"


class Place:
    """A router and two workers on ports of their own, and a pipeline that reaches them."""

    def __init__(self, pipeline, workers, servers, seen):
        self.pipeline, self.workers, self.servers, self.seen = pipeline, workers, servers, seen

    async def answer(self, **changes):
        deadline = SystemClock().monotonic() + 30
        batches = self.pipeline.chat(ask(**changes), ALICE, request_id="r1", deadline=deadline)
        return [event async for batch in batches for event in batch]


async def serve(stack, identity, handlers):
    server = RpcServer(identity, handlers, RpcServerSettings(), clock=SystemClock(), token=TOKEN)
    stack.push_async_callback(server.stop)
    return server, f"127.0.0.1:{await server.start()}"


@asynccontextmanager
async def place(transport, tmp_path):
    workers = [Worker("a"), Worker("b")]
    async with AsyncExitStack() as stack:
        servers = []
        for worker in workers:
            worker.pace = 0.02
            server, worker.address = await serve(stack, "inference", worker.handlers())
            servers.append(server)
        router = Router(workers)
        _, address = await serve(stack, "router", router.handlers())
        options = PipelineOptions((address,), transport, transport, TOKEN, b"pepper", tmp_path)
        seen = Seen()
        clock = SystemClock()
        opened = await open_pipeline(stack, options, Owners(), null_charges(clock), clock, observers=[seen])
        pipeline = opened.chat
        await until(pipeline.ready)
        yield Place(pipeline, workers, servers, seen)


async def until(condition):
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to that within ten seconds")


def running(at, **changes):
    return asyncio.get_running_loop().create_task(at.answer(max_tokens=30, **changes))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_worker_that_is_cut_off_is_replaced_in_mid_stream(transport, tmp_path):
    async def scenario():
        async with place(transport, tmp_path) as at:
            task = running(at)
            await until(lambda: at.workers[0].requests)
            await asyncio.sleep(0.2)
            await at.servers[0].stop()
            events = await task
            assert whole(events, 30)
            assert (events[-1].worker, events[-1].attempts, events[-1].resumed) == ("b", 2, True)

    run_real(scenario())


def test_a_draining_worker_hands_its_streams_over(tmp_path):
    async def scenario():
        async with place("trunk", tmp_path) as at:
            task = running(at)
            await until(lambda: at.workers[0].requests)
            await asyncio.sleep(0.2)
            await at.servers[0].drain(5.0, hand_over=True)
            events = await task
            assert whole(events, 30)
            assert [past.outcome for past in at.seen.records[-1].past] == ["drain"]

    run_real(scenario())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_that_goes_reaches_the_worker_within_a_tenth_of_a_second(transport, tmp_path):
    async def scenario():
        async with place(transport, tmp_path) as at:
            worker = at.workers[0]
            worker.script = [("hang", 0)]
            task = running(at)
            await until(lambda: worker.requests)
            gone_at = SystemClock().monotonic()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await until(lambda: worker.cancelled)
            assert SystemClock().monotonic() - gone_at < 0.1

    run_real(scenario())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_refused_connection_is_no_attempt_of_the_worker(transport, tmp_path):
    async def scenario():
        async with place(transport, tmp_path) as at:
            await at.answer(max_tokens=1)
            await at.servers[0].stop()
            events = await at.answer(max_tokens=3)
            assert whole(events, 3)
            assert [past.outcome for past in at.seen.records[-1].past] == ["not_started"]

    run_real(scenario())
