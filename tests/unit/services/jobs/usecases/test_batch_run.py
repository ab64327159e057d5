"""A batch from its file to its files, over a gateway in memory."""

from __future__ import annotations

import pytest

from libs.files import FileStore, FileViewer
from libs.kafka.handling import PoisonError
from libs.testing.blobs import MemoryBlobs
from libs.testing.loop import run
from services.jobs.domain.job import JobState
from services.jobs.usecases.batch_files import BatchFileMeans, BatchFiles
from services.jobs.usecases.expansion import Expander, ExpansionMeans
from tests.unit.services.jobs.running_world import TENANT, World, key
from tests.unit.services.jobs.usecases.batch_rig import ANN, JOB, FakeGateways, FakeOutgoing, Rig, lines

VIEWER = FileViewer(tenant="acme", key_id="key-1")


async def cut(count):
    """A world that runs parts, with a batch that was cut; and a rig that reads its files."""
    world, rig = World(), Rig()
    rig.clock, rig.jobs, rig.blobs = world.clock, world.store, MemoryBlobs()
    rig.files = FileStore(rig.blobs, world.clock)
    rig.batches = world.files = BatchFiles(BatchFileMeans(rig.files, rig.blobs, world.store))
    store = world.store
    rig.expander = Expander(ExpansionMeans(store, store, FakeGateways(), rig.files, FakeOutgoing(), store))
    await rig.batch(lines(count, model="m"))
    await rig.expand()
    return world, rig


def test_a_batch_runs_out_of_its_file_into_its_files():
    async def scenario():
        world, rig = await cut(120)
        try:
            for part in (2, 0, 1, 0):
                await world.consumer(f"c{part}").run(TENANT, key(part, JOB))
            job = await rig.job()
            batch = await rig.batches.write_outputs(job)
            return job, batch, await rig.output_lines(batch.output_file_id), world.gateways.charged
        finally:
            await world.close()

    job, batch, output, charged = run(scenario())
    assert (job.state, job.succeeded, batch.error_file_id) == (JobState.SUCCEEDED, 120, "")
    assert [line["custom_id"] for line in output] == [f"r{number}" for number in range(120)]
    assert charged == {f"{JOB}/{step}": 1 for step in range(120)}


def test_what_was_not_read_of_a_file_that_was_deleted_fails_and_the_batch_ends():
    async def scenario():
        world, rig = await cut(60)
        try:
            await world.consumer().run(TENANT, key(0, JOB))
            await rig.files.delete(VIEWER, (await rig.job()).batch.input_file_id)
            await world.consumer("two").run(TENANT, key(1, JOB))
            job = await rig.job()
            batch = await rig.batches.write_outputs(job)
            return job, await rig.output_lines(batch.output_file_id), await rig.output_lines(batch.error_file_id)
        finally:
            await world.close()

    job, output, error = run(scenario())
    assert (job.state, job.succeeded, job.failed) == (JobState.FAILED, 50, 10)
    assert len(output) == 50
    assert [(line["custom_id"], line["response"]["status_code"]) for line in error] == [(None, 404)] * 10
    assert "was deleted" in error[0]["response"]["body"]["error"]["message"]


def test_a_part_that_kills_its_consumers_can_be_buried_without_its_file():
    async def scenario():
        world, rig = await cut(2)
        try:
            # Two attempts that died without a word.
            for owner in ("one", "two"):
                await world.consumer(owner, attempts_max=2).means.desk.begin(TENANT, key(0, JOB), replayed=False)
                world.clock.advance(60)
            await rig.files.delete(VIEWER, (await rig.job()).batch.input_file_id)
            with pytest.raises(PoisonError):
                await world.consumer("three", attempts_max=2).run(TENANT, key(0, JOB))
            return await rig.job()
        finally:
            await world.close()

    job = run(scenario())
    assert (job.state, job.failed, job.caller) == (JobState.FAILED, 2, ANN)
