"""The digest is that of what became of jobs, wherever they are kept."""

from __future__ import annotations

import asyncio

from libs.testing.clock import FakeClock
from libs.valkey import Valkey
from services.jobs.adapters.memory_store import MemoryJobs
from services.jobs.adapters.store.client import ValkeyJobs
from services.jobs.domain.attempt import BeginAsk, Effect, PartKey
from services.jobs.domain.job import Batch, Caller, NewJob, PartSpec, Request
from services.jobs.usecases.state_hash import PAGE, state_hash
from tests.contract.services.jobs.adapters.store.desk import FILE, answer

COUNT = PAGE + 20


def new(number):
    name = f"job_{number}"
    part, request = PartSpec(0, 0, 1, name), Request(0, "", b"", "")
    batch = FILE if number % 3 == 0 else None
    return NewJob(name, Caller("t", "k"), str(number), 3600, batch=batch, parts=(part,), requests=(request,))


async def finish(store, number, result):
    """All messages of a job, its own attempt each time: a second time nothing comes of it."""
    key = PartKey(f"job_{number}", 0)
    (begun,) = await store.begin("t", [BeginAsk(key, "me", 1000, 5)])
    await store.apply("t", [Effect(key, begun.epoch, (result,))])


async def story(store):
    """The digest after each of: all jobs finished, all messages again, told, one job more."""
    hashes = []
    for number in range(COUNT):
        await store.create(new(number))
        await store.confirm("t", f"job_{number}", 1)
    for _ in range(2):
        for number in range(COUNT):
            await finish(store, number, answer(0))
        hashes.append(await state_hash(store, "t"))
    for number in range(COUNT):
        await store.told("t", f"job_{number}", 99, Batch("", "", "file-out", "", 5))
    hashes.append(await state_hash(store, "t"))
    await store.create(new(COUNT))
    hashes.append(await state_hash(store, "t"))
    return hashes


async def of_one(result):
    store = MemoryJobs(FakeClock())
    await store.create(new(1))
    await store.confirm("t", "job_1", 1)
    await finish(store, 1, result)
    return await state_hash(store, "t")


def test_a_replay_leaves_it_and_the_store_and_its_twin_have_the_same(server):
    async def both():
        valkey = Valkey(server.settings(op_timeout_ms=5000))
        try:
            return await story(ValkeyJobs(valkey)), await story(MemoryJobs(FakeClock()))
        finally:
            await valkey.close()

    in_valkey, in_memory = asyncio.run(both())
    assert in_valkey == in_memory
    finished, again, told, one_more = in_valkey
    assert finished == again == told
    assert one_more != told


def test_every_fact_of_a_result_is_in_it():
    results = [answer(0), answer(0, status=400), answer(0, body=b"other"), answer(0, cost=8)]

    async def hashes():
        return [await of_one(result) for result in results]

    assert len(set(asyncio.run(hashes()))) == len(results)
