"""What the agenda asks for is done in an order in which no crash leaves anything behind."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from libs.errors import PlatformError, Reason
from libs.kafka import BrokerUnavailableError
from libs.testing.loop import run
from services.jobs.domain.agenda import Due, Task
from services.jobs.domain.blob_names import work_folder
from services.jobs.domain.job import Batch, JobState, NewJob, PartSpec, Request
from services.jobs.domain.resend import Backlog
from services.jobs.usecases.chores import ChoreLimits, ChoreMeans, Chores
from services.jobs.usecases.sending import Sending
from tests.unit.services.jobs.running_world import CALLER, TENANT, World, failing


class Outgoing:
    """Notes what was sent."""

    def __init__(self) -> None:
        self.requested: list[Due] = []
        self.ended: list[str] = []
        self.down = False
        self.refused: set[str] = set()

    async def request(self, dues):
        self._check()
        self.requested.extend(dues)

    async def finished(self, job):
        self._check()
        if job.id in self.refused:
            raise BrokerUnavailableError("a test says so")
        self.ended.append(job.id)

    def _check(self):
        if self.down:
            raise BrokerUnavailableError("a test says so")


class Webhooks:
    async def call_webhook(self, due):
        raise AssertionError("nobody asked for one")


class Desk:
    def __init__(self, backlog: Backlog | None = None) -> None:
        self.world = World()
        self.outgoing = Outgoing()
        self.backlog = backlog or Backlog()
        store = self.world.store
        sending = Sending(self.outgoing, store, 60.0)
        means = ChoreMeans(
            store, store, store, store, self.world.gateways, self.outgoing, sending, self.world.files, Webhooks(),
            self.world.blobs,
        )  # fmt: skip
        self.chores = Chores(means, self.world.clock, ChoreLimits(), self.world.seen, lambda: self.backlog)

    async def sweep(self, task: Task) -> list[Due]:
        """Claims what is due of one kind and does it; what was claimed."""
        dues = [due for due in await self.world.store.claim(TENANT, 100, 30_000) if due.task is task]
        if dues:
            await self.chores.all()[task](TENANT, dues)
        return dues


def test_the_money_of_a_half_accepted_job_is_free_before_the_job_is_gone():
    async def main():
        desk = Desk()
        store, blobs = desk.world.store, desk.world.blobs
        name = work_folder(TENANT, "job_1", "aa") + "3"
        blobs.stored[name] = b"large"
        specs = (PartSpec(0, 0, 2, "job_1", ("m", "m")), PartSpec(1, 2, 2, "job_1", ("m", "m")))
        requests = tuple(Request(step, "", b"w" * (step != 3), "m", name if step == 3 else "") for step in range(4))
        await store.create(NewJob("job_1", CALLER, "f", 3600, parts=specs, requests=requests))
        desk.world.clock.advance(61.0)
        desk.world.gateways.failures["release"] = [failing(Reason.STORE_UNAVAILABLE)]
        with pytest.raises(PlatformError):
            await desk.sweep(Task.REFUSE)
        assert await store.get(TENANT, "job_1") is not None
        desk.world.clock.advance(31.0)
        await desk.sweep(Task.REFUSE)
        assert await store.get(TENANT, "job_1") is None
        assert desk.world.gateways.released == ["job_1"]
        assert blobs.stored == {}

    run(main())


def test_a_job_that_was_confirmed_meanwhile_keeps_its_blobs():
    async def main():
        desk = Desk()
        await desk.world.job()
        await desk.chores.refuse(TENANT, [Due(TENANT, Task.REFUSE, "job_1")])
        assert (await desk.world.get()).state is JobState.REQUESTED

    run(main())


def test_an_end_is_told_after_its_event_was_published():
    async def main():
        desk = Desk()
        await desk.world.job()
        await desk.world.store.end(TENANT, "job_1", JobState.CANCELLED)
        desk.outgoing.down = True
        with pytest.raises(BrokerUnavailableError):
            await desk.sweep(Task.TELL)
        assert not (await desk.world.get()).told
        desk.outgoing.down = False
        desk.world.clock.advance(31.0)
        await desk.sweep(Task.TELL)
        assert (await desk.world.get()).told
        assert desk.outgoing.ended == ["job_1"]
        assert desk.world.seen.counts["ended cancelled"] == 1
        assert await desk.sweep(Task.TELL) == []

    run(main())


def test_a_batch_has_its_files_when_its_end_is_told_and_each_parts_money_is_free():
    async def main():
        desk = Desk()
        store = desk.world.store
        await store.create(NewJob("batch_1", CALLER, "f", 3600, batch=Batch("file-in", "/v1/chat/completions")))
        await store.add_parts(TENANT, "batch_1", [PartSpec(n, n, 1, f"batch_1:{n}", ("m",)) for n in range(3)], 5)
        await store.confirm(TENANT, "batch_1", 0)
        await store.end(TENANT, "batch_1", JobState.EXPIRED)
        await desk.sweep(Task.TELL)
        job = await desk.world.get("batch_1")
        assert job.told
        assert job.batch.output_file_id == "file-out"
        assert desk.world.gateways.released[:3] == ["batch_1:0", "batch_1:1", "batch_1:2"]

    run(main())


def test_what_was_paid_for_parts_that_were_never_stored_is_free_at_the_end():
    async def main():
        desk = Desk()
        store = desk.world.store
        await store.create(NewJob("batch_1", CALLER, "f", 3600, batch=Batch("file-in", "/v1/chat/completions")))
        await store.add_parts(TENANT, "batch_1", [PartSpec(n, n, 1, f"batch_1:{n}", ("m",)) for n in range(4)], 5)
        await store.end(TENANT, "batch_1", JobState.CANCELLED)
        await desk.sweep(Task.TELL)
        assert desk.world.gateways.released == [f"batch_1:{number}" for number in range(8)]

    run(main())


def test_an_event_that_kafka_has_is_told_though_another_fails():
    async def main():
        desk = Desk()
        for name in ("job_1", "job_2"):
            await desk.world.job(name)
            await desk.world.store.end(TENANT, name, JobState.CANCELLED)
        desk.outgoing.refused = {"job_1"}
        with pytest.raises(BrokerUnavailableError):
            await desk.sweep(Task.TELL)
        desk.outgoing.refused = set()
        desk.world.clock.advance(31.0)
        await desk.sweep(Task.TELL)
        assert desk.outgoing.ended == ["job_2", "job_1"]

    run(main())


def test_files_that_take_longer_than_a_lease_are_written_by_one():
    async def main():
        desk = Desk()
        store, clock = desk.world.store, desk.world.clock
        await store.create(NewJob("batch_1", CALLER, "f", 3600, batch=Batch("file-in", "/v1/chat/completions")))
        await store.confirm(TENANT, "batch_1", 0)
        written = desk.world.files.write_outputs

        async def slowly(job):
            await clock.sleep(200.0)
            return await written(job)

        desk.world.files.write_outputs = slowly
        telling = asyncio.create_task(desk.sweep(Task.TELL))
        while not telling.done():
            await clock.sleep(5.0)
            assert telling.done() or await store.claim(TENANT, 10, 1000) == []
        assert (await desk.world.get("batch_1")).told

    run(main())


def test_ends_are_told_by_one_though_a_gateway_takes_longer_than_a_lease():
    async def main():
        desk = Desk()
        store, clock, release = desk.world.store, desk.world.clock, desk.world.gateways.release
        for name in ("job_1", "job_2"):
            await desk.world.job(name)
            await store.end(TENANT, name, JobState.CANCELLED)

        async def slowly(tenant, reservations):
            await clock.sleep(100.0)
            await release(tenant, reservations)

        desk.world.gateways.release = slowly
        telling = asyncio.create_task(desk.sweep(Task.TELL))
        while not telling.done():
            await clock.sleep(5.0)
            assert telling.done() or await store.claim(TENANT, 10, 1000) == []
        assert desk.outgoing.ended == ["job_1", "job_2"]

    run(main())


def test_what_was_sent_is_looked_at_later_and_later():
    async def main():
        desk = Desk()
        await desk.world.job(expires=400_000)
        looks = []
        for _ in range(600):
            desk.world.clock.advance(60.0)
            if await desk.sweep(Task.SEND):
                looks.append(desk.world.clock.unix())
        pauses = [later - sooner for sooner, later in itertools.pairwise(looks)]
        assert pauses == sorted(pauses)
        assert 5 < len(looks) < 20
        assert len(desk.outgoing.requested) == len(looks)

    run(main())


def test_what_only_waits_in_its_topic_is_held_back():
    async def main():
        desk = Desk(Backlog(wait_seconds=10_000.0))
        await desk.world.job(expires=400_000)
        desk.world.clock.advance(100.0)
        assert await desk.sweep(Task.SEND)
        assert desk.outgoing.requested == []
        assert desk.world.seen.counts["send held"] == 1
        desk.backlog = Backlog()
        desk.world.clock.advance(61.0)
        await desk.sweep(Task.SEND)
        assert desk.outgoing.requested == [Due(TENANT, Task.SEND, "job_1", 0)]

    run(main())


def test_a_job_is_deleted_after_its_blobs():
    async def main():
        desk = Desk()
        store, blobs = desk.world.store, desk.world.blobs
        await desk.world.job()
        ended = await store.end(TENANT, "job_1", JobState.CANCELLED)
        await store.told(TENANT, "job_1", ended.version, None)
        blobs.stored[f"jobs/{TENANT}/job_1/result-0-1"] = b"x"
        desk.world.clock.advance(8 * 86_400.0)
        blobs.down = True
        with pytest.raises(PlatformError):
            await desk.sweep(Task.FORGET)
        assert await store.get(TENANT, "job_1") is not None
        blobs.down = False
        desk.world.clock.advance(31.0)
        await desk.sweep(Task.FORGET)
        assert await store.get(TENANT, "job_1") is None
        assert blobs.stored == {}

    run(main())


def test_a_message_that_kafka_does_not_take_is_due_again_soon():
    async def main():
        desk = Desk()
        await desk.world.job()
        desk.outgoing.down = True
        sending = Sending(desk.outgoing, desk.world.store, 60.0)
        with pytest.raises(BrokerUnavailableError):
            await sending.request([Due(TENANT, Task.SEND, "job_1", 0)])
        desk.outgoing.down = False
        desk.world.clock.advance(3.0)
        await desk.sweep(Task.SEND)
        assert len(desk.outgoing.requested) == 1
        desk.world.clock.advance(50.0)
        assert await desk.sweep(Task.SEND) == []

    run(main())
