"""A batch from its file to its files on a real store and a real directory, and a file that fails it."""

from __future__ import annotations

import json

import pytest

from libs.blobs import LocalBlobs
from libs.clock import SystemClock
from libs.files import FileStore
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey, ValkeySettings
from services.jobs.adapters.store.client import ValkeyJobs
from services.jobs.domain.job import JobState
from services.jobs.usecases.batch_files import BatchFileMeans, BatchFiles
from services.jobs.usecases.expansion import Expander, ExpansionMeans
from tests.unit.services.jobs.usecases.batch_rig import ANN, JOB, FakeGateways, FakeOutgoing, Rig, lines, result


@pytest.fixture(scope="module")
def server():
    with ValkeyProcess() as process:
        yield process


def rig_on(valkey, folder):
    rig = Rig()
    rig.clock, rig.blobs, rig.jobs = SystemClock(), LocalBlobs(folder), ValkeyJobs(valkey)
    rig.files, rig.gateways, rig.outgoing = FileStore(rig.blobs, rig.clock), FakeGateways(), FakeOutgoing()
    rig.batches = BatchFiles(BatchFileMeans(rig.files, rig.blobs, rig.jobs))
    rig.expander = Expander(ExpansionMeans(rig.jobs, rig.jobs, rig.gateways, rig.files, rig.outgoing, rig.jobs))
    return rig


def on_store(server, folder, scenario):
    async def main():
        valkey = Valkey(ValkeySettings(url=server.url))
        try:
            return await scenario(rig_on(valkey, folder))
        finally:
            await valkey.close()

    return run_real(main())


def test_a_batch_of_many_parts_comes_out_whole(server, tmp_path):
    async def scenario(rig):
        await rig.batch(lines(730))
        # Somebody else expands it at the same time, and the message comes once more.
        await rig.expand()
        job = await rig.expand()
        for first in range(0, 730, 50):
            await rig.answer(result(first + 1), result(first, 400), result(first + 2))
        await rig.jobs.end(ANN.tenant, JOB, JobState.CANCELLED)
        ended = await rig.job()
        batch = await rig.batches.write_outputs(ended)
        output, error = await rig.output_lines(batch.output_file_id), await rig.output_lines(batch.error_file_id)
        await rig.jobs.told(ANN.tenant, JOB, ended.version, batch)
        return job, ended, output, error, (await rig.job()).batch, batch, rig.gateways.held

    job, ended, output, error, told, batch, held = on_store(server, tmp_path / "one", scenario)
    assert (job.state, job.total, job.reserved) == (JobState.REQUESTED, 730, 73_000)
    assert sum(held.values()) == 73_000
    assert (ended.succeeded, ended.failed) == (30, 15)
    assert (len(output), len(error)) == (30, 700)
    assert (told.output_file_id, told.error_file_id) == (batch.output_file_id, batch.error_file_id)
    names = sorted((each["custom_id"] for each in output + error), key=lambda name: int(name[1:]))
    assert names == [f"r{number}" for number in range(730)]


def test_faults_of_a_file_stand_in_the_job(server, tmp_path):
    async def scenario(rig):
        job = "batch_2"
        await rig.batch(lines(2) + b"{\n" + json.dumps({"custom_id": "x"}).encode(), job)
        return await rig.expand(job)

    job = on_store(server, tmp_path / "two", scenario)
    assert job.state is JobState.FAILED
    assert [(each.code, each.line, each.param) for each in job.error.lines] == [
        ("invalid_json_line", 3, ""),
        ("missing_required_parameter", 4, "method"),
    ]
