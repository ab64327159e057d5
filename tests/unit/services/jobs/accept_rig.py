"""The acceptance of jobs with everything around it in memory."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

from headrace.gateway.v1 import work_pb2
from headrace.jobs.v1 import jobs_pb2 as pb

from libs.errors import PlatformError, Reason
from libs.files import FileStore
from libs.testing.blobs import MemoryBlobs
from libs.testing.clock import FakeClock
from services.jobs.adapters.memory_store import MemoryJobs
from services.jobs.api.service import JobServer
from services.jobs.convert import submission_of
from services.jobs.domain.attempt import BeginAsk, Effect, PartKey
from services.jobs.domain.job import Caller, StepResult, Usage
from services.jobs.ports.neighbours import Reserved
from services.jobs.usecases.accept import AcceptMeans, Acceptor
from services.jobs.usecases.reading import JobReader
from services.jobs.usecases.watch import Watches, WatchTimes

CHAT = "/v1/chat/completions"
ANN = Caller("acme", "key-1", "ann")
BOB = Caller("acme", "key-2", "bob")
BOSS = Caller("acme", "key-9", manages_tenant=True)
STRANGER = Caller("other", "key-1", "ann")


class FakeGateways:
    """Reservations as the ledger has them: a repeat changes nothing, and one that was released stays released."""

    def __init__(self):
        self.held, self.released, self.fail, self.on_reserve = {}, set(), None, None
        self.seen = []

    async def reserve(self, reservation, caller, works, *, batch):
        self.seen.append((reservation, caller, list(works), batch))
        if self.on_reserve is not None:
            await self.on_reserve(reservation)
        if self.fail is not None:
            raise replace(self.fail)
        if reservation in self.released:
            raise PlatformError(Reason.CONFLICT, "The reservation has been released.", started=False)
        self.held.setdefault(reservation, 100 * len(works))
        return Reserved(self.held[reservation], tuple("small" for _ in works))

    async def release(self, tenant, reservations):
        for each in reservations:
            self.held.pop(each, None)
            self.released.add(each)


class FakeOutgoing:
    def __init__(self):
        self.sent, self.fail, self.stuck = [], None, None

    async def request(self, dues):
        if self.fail is not None:
            raise self.fail
        if self.stuck is not None:
            await self.stuck.wait()
        self.sent += dues


class Rig:
    def __init__(self, limits=None, times=None, clock=None, file_settings=None):
        self.clock = clock or FakeClock()
        self.store = MemoryJobs(self.clock)
        self.gateways, self.outgoing, self.blobs = FakeGateways(), FakeOutgoing(), MemoryBlobs()
        numbers = itertools.count(1)
        self.files = FileStore(self.blobs, self.clock, file_settings)
        means = AcceptMeans(self.store, self.store, self.gateways, self.outgoing, self.blobs, self.files)
        self.acceptor = Acceptor(means, limits, lambda size: next(numbers).to_bytes(size, "big"))
        self.reader = JobReader(self.store, self.blobs)
        self.watches = Watches(self.store, self.clock, times or WatchTimes())
        self.server = JobServer(self.acceptor, self.store, self.reader, self.watches)

    async def submit(self, asked, caller=ANN, key="", **more):
        return await self.acceptor.submit(submission_of(asked, caller, key), **more)

    async def run_part(self, job, part=0, *, status=200, body=b'{"object":"chat.completion"}', tenant="acme"):
        """One attempt that answers every step of a part."""
        key = PartKey(job, part)
        (begun,) = await self.store.begin(tenant, [BeginAsk(key, "me", 10_000, 3)])
        steps = range(begun.part.first, begun.part.first + begun.part.count)
        requests = {request.step: request for request in await self.store.requests(tenant, key)}
        results = tuple(
            StepResult(step, requests[step].custom_id, status, f"chatcmpl-{step}", body, usage=Usage(3, 1, 2, 7))
            for step in steps
        )
        await self.store.apply(tenant, [Effect(key, begun.epoch, results)])


def chat(text="hi", **more):
    return json.dumps({"model": "small", "messages": [{"role": "user", "content": text}], **more}).encode()


def request(text="hi", custom_id="", path=CHAT):
    return pb.JobRequest(custom_id=custom_id, work=work_pb2.Work(body=chat(text), path=path))


def asked(count=1, **more):
    return pb.SubmitJobRequest(requests=[request(f"q{n}", f"c{n}") for n in range(count)], **more)
