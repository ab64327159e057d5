"""One set of handlers behind every kind of channel; the tests of this folder run on all of them."""

import asyncio

import pytest
from headrace.inference.v1 import inference_pb2 as pb

from libs.errors import PlatformError, Reason
from libs.rpc.api import Handler
from libs.rpc.method import method
from libs.rpc.trunk.limits import TrunkLimits
from libs.testing.channels import start
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run_real

SERVICE = pb.DESCRIPTOR.services_by_name["InferenceService"]


class Neighbour:
    """A small service whose answers tests choose by the request's `model`."""

    count = method(SERVICE, "Count", pb.CountRequest, pb.CountResponse)
    generate = method(SERVICE, "Generate", pb.GenerateRequest, pb.GenerateResponse)
    drain = method(SERVICE, "Drain", pb.DrainRequest, pb.DrainResponse)

    def __init__(self):
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()
        self.seen = []

    async def on_count(self, request, info):
        self.seen.append(info)
        if request.model == "refuse":
            raise PlatformError(Reason.OVERLOADED, "full", retry_after_seconds=1.5, started=False, param="model")
        if request.model == "crash":
            raise ValueError("a secret detail")
        if request.model == "hang":
            self.started.set()
            await asyncio.sleep(3600)
        return pb.CountResponse(tokens=len(request.model))

    async def on_generate(self, request, responder, info):
        self.seen.append(info)
        gone = asyncio.Event()
        responder.on_cancel(lambda: (self.cancelled.set(), gone.set()))
        self.started.set()
        for index in range(request.sampling.max_tokens):
            responder.send(pb.GenerateResponse(first_index=index, text=request.model))
        if request.session == "crash":
            raise ValueError("a secret detail")
        if request.session == "hang":
            await gone.wait()
        if request.session == "flood":
            while True:
                responder.send(pb.GenerateResponse(text="x" * 60_000))
                await asyncio.sleep(0.001)

    async def on_drain(self, request, info):
        return pb.DrainResponse(running=1)

    def handlers(self):
        return [
            Handler(self.count, self.on_count),
            Handler(self.generate, self.on_generate),
            Handler(self.drain, self.on_drain, frozenset({"operator"})),
        ]


class Rig:
    """The neighbour, a way to reach it, and (over the wire) its server."""

    def __init__(self, kind, *, sockets=True):
        self.kind, self.sockets = kind, sockets
        self.neighbour = Neighbour()
        self.served = None
        self.channel = None

    async def __aenter__(self):
        if self.kind == "inmem":
            self.channel = InMemoryChannel(self.neighbour.handlers(), identity="gateway")
            return self
        limits = TrunkLimits(starved_seconds=0.3, ping_seconds=0.1, silent_seconds=1.0, calls_max=50)
        self.served = await start(self.neighbour.handlers(), limits=limits)
        self.channel = self.served.dial(self.kind, sockets=self.sockets)
        return self

    @property
    def server(self):
        return self.served.server

    async def restart(self):
        self.served = await start(self.neighbour.handlers(), port=self.server.port)

    async def __aexit__(self, *_):
        await self.channel.close()
        if self.served:
            await self.served.stop()


@pytest.fixture(params=["grpc", "trunk", "inmem"])
def kind(request):
    return request.param


@pytest.fixture(params=["grpc", "trunk"])
def wire(request):
    return request.param


@pytest.fixture
def with_rig():
    """Runs a scenario on a kind of channel; what a trunk promises, on both of its ways."""

    def run(kind, scenario):
        async def whole(sockets):
            async with Rig(kind, sockets=sockets) as rig:
                async with asyncio.timeout(20):
                    return await scenario(rig)

        if kind == "trunk":
            run_real(whole(sockets=False))
        return run_real(whole(sockets=True))

    return run


@pytest.fixture
def neighbour():
    return Neighbour()
