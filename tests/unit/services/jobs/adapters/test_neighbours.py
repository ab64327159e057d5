"""Gateways and routers as the jobs service asks them, over handlers in this process."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from headrace.gateway.v1 import work_pb2 as pb
from headrace.router.v1 import router_pb2

from libs.errors import PlatformError, Reason
from libs.rpc.api import Handler
from libs.testing.clock import FakeClock
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run
from services.jobs.adapters.capacity import SILENCE_SECONDS, WATCH_CAPACITY, RpcCapacity
from services.jobs.adapters.gateways import ABANDON, PERFORM, RELEASE, RESERVE, RpcGateways
from services.jobs.domain.job import Caller, Usage
from services.jobs.ports.neighbours import Again, Performed, Reserved, Room

CALLER = Caller("acme", "key", "ann")
WORK = pb.Work(body=b"{}", path="/v1/chat/completions").SerializeToString()


class Gateway:
    def __init__(self) -> None:
        self.seen: list = []
        self.infos: list = []

    def handlers(self):
        return [
            Handler(RESERVE, self.reserve),
            Handler(RELEASE, self.release),
            Handler(PERFORM, self.perform),
            Handler(ABANDON, self.abandon),
        ]

    async def reserve(self, request, info):
        self.seen.append(request)
        return pb.ReserveResponse(reserved_nanodollars=5, models=["m", "auto"])

    async def release(self, request, info):
        self.seen.append(request)
        return pb.ReleaseResponse()

    async def perform(self, request, responder, info):
        self.seen.append(request)
        self.infos.append(info)
        responder.send(pb.PerformResponse(completion_tokens=3))
        outcome = pb.PerformResponse.Outcome(
            status_code=200, body=b"{}", request_id="r", prompt_tokens=1, cached_tokens=1, completion_tokens=4,
            cost_nanodollars=9, replayed=True,
        )  # fmt: skip
        responder.send(pb.PerformResponse(completion_tokens=4, outcome=outcome))

    async def abandon(self, request, info):
        self.seen.append(request)
        return pb.AbandonResponse()


def gateways(*channels: InMemoryChannel, clock: FakeClock) -> RpcGateways:
    return RpcGateways(list(channels), clock, lambda: 0.5, 30.0)


async def performed(made: RpcGateways, again: Again | None = None) -> list[Performed]:
    async with aclosing(made.perform("acme", "job_1", WORK, "job_1/0", timeout=7200.0, again=again)) as news:
        return [each async for each in news]


def test_what_is_asked_and_what_is_told():
    async def main():
        clock, gateway = FakeClock(), Gateway()
        made = gateways(InMemoryChannel(gateway.handlers(), clock=clock), clock=clock)
        assert await made.reserve("job_1", CALLER, [WORK, WORK], batch=True) == Reserved(5, ("m", "auto"))
        assert await performed(made) == [
            Performed(tokens=3),
            Performed(4, 200, b"{}", "r", Usage(1, 1, 4, 9), replayed=True),
        ]
        await made.release("acme", ["job_1"])
        await made.release("acme", [])
        await made.abandon("acme", "job_1", "job_1/0")
        reserve, perform, release, abandon = gateway.seen
        assert (reserve.reservation, reserve.caller.user, reserve.batch, len(reserve.requests)) == (
            "job_1", "ann", True, 2,
        )  # fmt: skip
        assert (perform.reservation, perform.tenant, perform.key) == ("job_1", "acme", "job_1/0")
        assert perform.work.path == "/v1/chat/completions"
        assert list(release.reservations) == ["job_1"]
        assert abandon.key == "job_1/0"
        assert gateway.infos[0].deadline == pytest.approx(clock.monotonic() + 7200.0)
        assert not perform.HasField("caller")
        await made.close()

    run(main())


def test_work_that_goes_on_after_its_end_says_who_pays():
    async def main():
        clock, gateway = FakeClock(), Gateway()
        made = gateways(InMemoryChannel(gateway.handlers(), clock=clock), clock=clock)
        await performed(made, Again(CALLER, batch=True))
        (perform,) = gateway.seen
        assert (perform.caller.tenant, perform.caller.key_id, perform.caller.user) == ("acme", "key", "ann")
        assert perform.batch
        await made.close()

    run(main())


def test_another_gateway_is_asked_when_one_is_lost():
    async def main():
        clock, gateway = FakeClock(), Gateway()
        lost = InMemoryChannel(Gateway().handlers(), address="one", clock=clock)
        made = gateways(lost, InMemoryChannel(gateway.handlers(), address="two", clock=clock), clock=clock)
        lost.lose()
        # The first try may find the lost one; it is remembered.
        tried = await asyncio.gather(performed(made), return_exceptions=True)
        assert not isinstance(tried[0], PlatformError) or tried[0].reason is Reason.WORKER_LOST
        assert (await performed(made))[-1].status_code == 200
        await made.close()

    run(main())


class Router:
    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.silent, self.unknown = clock, False, False

    async def watch(self, request, responder, info):
        if self.unknown:
            raise PlatformError(Reason.MODEL_NOT_FOUND, "no such model")
        while not self.silent:
            responder.send(
                router_pb2.WatchCapacityResponse(workers=2, running=3, waiting=1, slots_idle=4, queue_wait_ms=5)
            )
            await self.clock.sleep(1.0)
        await self.clock.sleep(1000.0)


def test_a_silent_router_is_left():
    async def main():
        clock = FakeClock()
        router = Router(clock)
        made = RpcCapacity([InMemoryChannel([Handler(WATCH_CAPACITY, router.watch)], clock=clock)], clock, lambda: 0.5)
        async with aclosing(made.watch("m")) as words:
            assert await anext(words) == Room(4, 3, 1, 5, 2)
            assert await anext(words) == Room(4, 3, 1, 5, 2)
            router.silent = True
            began = asyncio.get_running_loop().time()
            with pytest.raises(PlatformError) as told:
                await anext(words)
            assert told.value.reason is Reason.ROUTER_UNAVAILABLE
            assert asyncio.get_running_loop().time() - began == pytest.approx(SILENCE_SECONDS)
        await made.close()

    run(main())


def test_a_name_that_no_router_knows_is_told_as_such():
    async def main():
        clock = FakeClock()
        router = Router(clock)
        router.unknown = True
        made = RpcCapacity([InMemoryChannel([Handler(WATCH_CAPACITY, router.watch)], clock=clock)], clock, lambda: 0.5)
        async with aclosing(made.watch("x")) as words:
            with pytest.raises(PlatformError) as told:
                await anext(words)
        assert told.value.reason is Reason.MODEL_NOT_FOUND
        await made.close()

    run(main())
