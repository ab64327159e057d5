"""The whole service in one process: jobs in memory, topics in memory, a gateway that a test can break."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager

from headrace.events.v1 import jobs_pb2 as events
from headrace.gateway.v1.work_pb2 import Caller as CallerMessage
from headrace.gateway.v1.work_pb2 import Work
from headrace.jobs.v1 import jobs_pb2 as pb

from libs.kafka import Record
from libs.kafka.letter_topics import topics_beside
from libs.rpc.method import method
from libs.telemetry.metrics import Registry
from libs.testing.blobs import MemoryBlobs
from libs.testing.clock import FakeClock
from libs.testing.inmem import InMemoryChannel
from libs.testing.kafka import MemoryBroker, MemoryProducer, MemorySource
from services.jobs.adapters.memory_store import MemoryJobs
from services.jobs.adapters.outgoing import FINISHED, REQUESTED
from services.jobs.api.service import SERVICE
from services.jobs.composition.ports import Ports, topics_of
from services.jobs.composition.service import JobsService, compose
from services.jobs.domain.job import ENDED, Job
from services.jobs.settings import JobsSettings
from tests.unit.services.jobs.running_world import TENANT, FakeCapacity, FakeGateways

SUBMIT = method(SERVICE, "SubmitJob", pb.SubmitJobRequest, pb.SubmitJobResponse)
CALLER = {"x-headrace-caller": base64.b64encode(CallerMessage(tenant=TENANT, key_id="k").SerializeToString()).decode()}

KEEP_SECONDS = 7_200.0


class FakeHooks:
    """Notes what was delivered."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    async def deliver(self, url: str, secret: str, body: bytes, *, delivery: str) -> int:
        self.calls.append((url, delivery))
        return 200


class LossyProducer:
    """Acknowledges what its rig says is lost."""

    def __init__(self, rig: Rig, producer: MemoryProducer) -> None:
        self._rig, self._producer = rig, producer

    async def send(self, records: Sequence[Record]) -> None:
        if not self._rig.losing:
            await self._producer.send(records)

    async def close(self) -> None:
        await self._producer.close()


class Process:
    """One life of the service."""

    def __init__(self, rig: Rig, owner: str, settings: JobsSettings) -> None:
        self.registry = Registry()
        self.service: JobsService = compose(settings, rig.ports(self.registry, owner))
        loops = [loop() for loop in self.service.loops.values()]
        runs = [consumer.run() for consumer in self.service.consumers.values()]
        self.tasks = [asyncio.create_task(each) for each in (*loops, *runs)]

    async def kill(self) -> None:
        """It is gone at once; nothing is given back."""
        assert self.service.running is not None
        self.service.running.desk._leave = lambda attempt: None
        await self.stop()

    async def stop(self) -> None:
        """In order."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if self.service.running is not None:
            await self.service.running.desk.close()

    def metric(self, name: str) -> str:
        """Lines of one metric."""
        _, text = self.registry.render()
        return "\n".join(line for line in text.decode().splitlines() if line.startswith(name))


class Rig:
    """Everything around the processes."""

    def __init__(self, **settings: object) -> None:
        values = {"kafka": {"brokers": ["memory:1"]}, "topics": {"partitions": 4}, **settings}
        self.settings = JobsSettings.model_validate(values)
        self.clock = FakeClock()
        self.store = MemoryJobs(self.clock, KEEP_SECONDS)
        self.broker = MemoryBroker()
        self.gateways = FakeGateways(self.clock)
        self.capacity = FakeCapacity(self.clock)
        self.hooks = FakeHooks()
        self.blobs = MemoryBlobs()
        self.processes: list[Process] = []
        # True: the broker acknowledges, and has nothing, as one in memory that has started anew.
        self.losing = False

    def ports(self, registry: Registry, owner: str) -> Ports:
        topics = topics_of(self.settings)
        all_topics = (*topics, *topics_beside(topics, self.settings.letters))
        return Ports(
            store=self.store,
            producer=LossyProducer(self, MemoryProducer(self.broker, topics)),
            letters=MemoryProducer(self.broker, all_topics),
            source=lambda group, of: MemorySource(self.broker, self.settings.consumer, group, of),
            gateways=self.gateways,
            capacity=self.capacity,
            hooks=self.hooks,
            blobs=self.blobs,
            clock=self.clock,
            registry=registry,
            owner=owner,
            random=lambda: 0.5,
        )

    def start(self, owner: str = "one", **changes: object) -> Process:
        process = Process(self, owner, self.settings.model_copy(update=changes))
        self.processes.append(process)
        return process

    async def submit(self, steps: int = 1, *, process: Process | None = None, **more: object) -> str:
        """The id of a job of so many requests."""
        work = Work(body=b'{"model": "m", "messages": []}', path="/v1/chat/completions")
        request = pb.SubmitJobRequest(**more)
        for step in range(steps):
            request.requests.add(custom_id=f"c{step}", work=work)
        served = (process or self.processes[-1]).service.handlers
        channel = InMemoryChannel(served, identity="gateway", clock=self.clock)
        reply = await channel.call(SUBMIT, request, timeout=60, metadata=CALLER)
        return reply.job.id

    async def job(self, name: str) -> Job:
        found = await self.store.get(TENANT, name)
        assert found is not None
        return found

    async def ended(self, *names: str, seconds: float = 600.0) -> list[Job]:
        """The jobs once their ends have been told."""
        await self.until(lambda: all(self._told(name) for name in names), seconds)
        return [await self.job(name) for name in names]

    async def until(self, holds: Callable[[], bool], seconds: float = 600.0) -> None:
        end = self.clock.monotonic() + seconds
        while not holds():
            assert self.clock.monotonic() < end, "it did not come to that in time"
            await self.clock.sleep(0.05)

    def _told(self, name: str) -> bool:
        record = self.store.of(TENANT).books.jobs[name]
        return record.state in ENDED and record.told

    def messages(self, topic: str) -> Sequence[bytes]:
        return [record.value for record in self.broker.records(topic)]

    def finished(self) -> list[str]:
        """Ids of jobs whose end was published."""
        return [events.JobFinished.FromString(value).job.id for value in self.messages(FINISHED)]

    def requested(self) -> list[tuple[str, int]]:
        """(job, part) of the messages that were sent."""
        found = [events.JobRequested.FromString(value).part for value in self.messages(REQUESTED)]
        return [(each.job, each.part) for each in found]


@asynccontextmanager
async def rig(**settings: object):
    made = Rig(**settings)
    try:
        yield made
    finally:
        for process in made.processes:
            await process.stop()
