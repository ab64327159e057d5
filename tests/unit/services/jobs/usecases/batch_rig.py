"""A batch with everything around it in memory."""

from __future__ import annotations

import json

from headrace.gateway.v1.work_pb2 import Work

from libs.errors import PlatformError, Reason
from libs.files import FileSettings, FileStore, FileViewer, NewFile
from libs.testing.blobs import MemoryBlobs
from libs.testing.clock import FakeClock
from services.jobs.adapters.memory_store import MemoryJobs
from services.jobs.domain.attempt import BeginAsk, Effect, PartKey
from services.jobs.domain.job import Batch, Caller, NewJob, StepResult, Usage
from services.jobs.ports.neighbours import Reserved
from services.jobs.usecases.batch_files import BatchFileMeans, BatchFiles
from services.jobs.usecases.expansion import Expander, ExpansionMeans, viewer_of

CHAT = "/v1/chat/completions"
ANN = Caller("acme", "key-1", "ann")
JOB = "batch_1"


class FakeGateways:
    """Reservations as the ledger has them: by id, a repeat changes nothing, one that was released stays released.

    A request without a model is one that can never be made. `fail` = what reserve raises, by reservation.
    """

    def __init__(self):
        self.held, self.released, self.calls, self.fail = {}, set(), [], {}
        self.running, self.running_max = 0, 0

    async def reserve(self, reservation, caller, works, *, batch):
        assert (caller, batch) == (ANN, True)
        self.calls.append(reservation)
        if reservation in self.fail:
            raise self.fail[reservation]
        bodies = [json.loads(Work.FromString(work).body) for work in works]
        models = tuple(body.get("model", "") for body in bodies)
        self.held.setdefault(reservation, 100 * sum(map(bool, models)))
        return Reserved(self.held[reservation], models)

    async def release(self, tenant, reservations):
        assert tenant == ANN.tenant
        for each in reservations:
            self.held.pop(each, None)
            self.released.add(each)


class FakeOutgoing:
    def __init__(self):
        self.sent, self.fail = [], None

    async def request(self, dues):
        if self.fail:
            raise self.fail
        self.sent += dues


class Rig:
    def __init__(self):
        self.clock, self.blobs = FakeClock(), MemoryBlobs()
        self.files = FileStore(self.blobs, self.clock, FileSettings(part_bytes=4096))
        self.jobs, self.gateways, self.outgoing = MemoryJobs(self.clock), FakeGateways(), FakeOutgoing()
        self.expander = Expander(
            ExpansionMeans(self.jobs, self.jobs, self.gateways, self.files, self.outgoing, self.jobs)
        )
        self.batches = BatchFiles(BatchFileMeans(self.files, self.blobs, self.jobs))

    async def upload(self, data, owner=ANN):
        async def chunks():
            yield data

        return await self.files.create(viewer_of(owner), NewFile(filename="in.jsonl", purpose="batch"), chunks())

    async def batch(self, data, job=JOB):
        """A batch of a file with these bytes, as it is when it was accepted."""
        file = await self.upload(data)
        new = NewJob(job, ANN, "f", expires_seconds=86_400, batch=Batch(file.id, CHAT))
        return await self.jobs.create(new)

    async def expand(self, job=JOB):
        await self.expander.expand(ANN.tenant, job)
        return await self.job(job)

    async def job(self, job=JOB):
        return await self.jobs.get(ANN.tenant, job)

    async def parts(self, job=JOB):
        return await self.jobs.parts(ANN.tenant, job)

    async def answer(self, *results, job=JOB):
        """Results of steps, each applied by an attempt at its part."""
        for result in results:
            part = next(each for each in await self.parts(job) if each.first <= result.step < each.first + each.count)
            key = PartKey(job, part.number)
            [begun] = await self.jobs.begin(ANN.tenant, [BeginAsk(key, "me", 1000, 99_999)])
            await self.jobs.apply(ANN.tenant, [Effect(key, begun.epoch, (result,))])

    async def text(self, file_id, viewer=None):
        viewer = viewer or FileViewer(tenant="acme", key_id="key-1")
        file = await self.files.get(viewer, file_id)
        return b"".join([piece async for piece in self.files.content(file)])

    async def output_lines(self, file_id):
        return [json.loads(line) for line in (await self.text(file_id)).splitlines()]


def line(custom_id, **body):
    return json.dumps(
        {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": {"model": "small"} | body}
    ).encode()


def lines(count, **body):
    return b"".join(line(f"r{number}", **body) + b"\n" for number in range(count))


def result(step, status=200, body=b'{"ok":true}', **more):
    return StepResult(step, f"r{step}", status, f"req-{step}", body, usage=Usage(1, 0, 1, 7), **more)


def refusal(reason=Reason.BUDGET_EXCEEDED):
    return PlatformError(reason, "The budget has too little left. Raise it.")
