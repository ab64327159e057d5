"""What a job costs at the store: CPU of the client and of Valkey per item, memory per job, and lists of 100,000 jobs.

`python -m loadtests.jobs_store`. One tenant, jobs of one request without bodies, Valkey with an append-only file synced
every second on one core, the client on another. `batch`: items of one function call for begin, renew, apply and
announce, calls of one event-loop tick for the rest. Microseconds per item: `client` = all CPU of this process (making
the asks, packing, link, reading replies), `store` = all CPU of Valkey, `function` = what Valkey counts for the calls.
Figures are medians over rounds, in each of which all batch sizes run in random order.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import uvloop

from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey, ValkeySettings
from loadtests.common.report import emit, median
from services.jobs.adapters.store.client import ValkeyJobs
from services.jobs.adapters.store.library import prefix_of
from services.jobs.domain.attempt import BeginAsk, Effect, PartKey, Renewal
from services.jobs.domain.job import Caller, NewJob, PartSpec, Request, StepResult, Usage

BATCHES = (1, 100, 500)
LEASE_MS = 30_000
WORK = b"w" * 300
Micros = dict[str, float]


def new_job(tenant: str, number: int, key: str = "key-1", user: str = "user-1") -> NewJob:
    """A job of one request of 300 bytes."""
    name = f"job_{number:024x}"
    caller = Caller(tenant, key, user)
    part = PartSpec(0, 0, 1, name, ("small",))
    return NewJob(name, caller, "f" * 32, 86_400, parts=(part,), requests=(Request(0, "", WORK, "small"),))


async def _cost(valkey: Valkey, items: int, run: Callable[[], Awaitable[None]]) -> Micros:
    await valkey.command("CONFIG", "RESETSTAT")
    before = await _cpu(valkey)
    used = time.process_time()
    await run()
    used = time.process_time() - used
    store = await _cpu(valkey) - before
    stats = await valkey.command("INFO", "commandstats")
    function = stats["cmdstat_fcall"]["usec"]
    return {"client": 1e6 * used / items, "store": 1e6 * store / items, "function": function / items}


async def _cpu(valkey: Valkey) -> float:
    found = await valkey.command("INFO", "cpu")
    return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


def _slices(names: Sequence[str], batch: int) -> list[Sequence[str]]:
    return [names[first : first + batch] for first in range(0, len(names), batch)]


async def _ticks(jobs: Sequence[Any], batch: int, one: Callable[[Any], Awaitable[Any]]) -> None:
    for first in range(0, len(jobs), batch):
        await asyncio.gather(*(one(job) for job in jobs[first : first + batch]))


class Steps:
    """The steps of so many jobs of a tenant, each step in calls of `batch`."""

    def __init__(self, store: ValkeyJobs, tenant: str, first: int, items: int, batch: int) -> None:
        self._store, self._tenant, self._batch = store, tenant, batch
        self._new = [new_job(tenant, number) for number in range(first, first + items)]
        names = [job.id for job in self._new]
        self._slices = _slices(names, batch)

    async def create(self) -> None:
        """Each is a call of its own, `batch` in a tick."""
        await _ticks(self._new, self._batch, self._store.create)

    async def confirm(self) -> None:
        """Each is a call of its own, `batch` in a tick."""
        await _ticks(self._new, self._batch, lambda job: self._store.confirm(self._tenant, job.id, 1000))

    async def begin(self) -> None:
        """`batch` attempts in a call."""
        for names in self._slices:
            await self._store.begin(
                self._tenant, [BeginAsk(PartKey(name, 0), "consumer-1-abcdef", LEASE_MS, 5) for name in names]
            )

    async def renew(self) -> None:
        """`batch` leases in a call."""
        for names in self._slices:
            await self._store.renew(self._tenant, [Renewal(PartKey(name, 0), 1, LEASE_MS, 9) for name in names])

    async def apply(self) -> None:
        """`batch` results in a call, each of which ends its job."""
        for names in self._slices:
            done = StepResult(0, "", 200, "req-1", b"", "", Usage(100, 50, 20, 12345))
            verdicts = await self._store.apply(self._tenant, [Effect(PartKey(name, 0), 1, (done,)) for name in names])
            if set(verdicts) != {"applied"}:
                raise RuntimeError(f"effects were not applied: {set(verdicts)}")

    async def announce(self) -> None:
        """`batch` ends in a call."""
        for names in self._slices:
            verdicts = await self._store.announce(self._tenant, [(name, 9) for name in names])
            if set(verdicts) != {"applied"}:
                raise RuntimeError(f"ends were not announced: {set(verdicts)}")

    async def announce_again(self) -> None:
        """A replay: nothing changes."""
        for names in self._slices:
            await self._store.announce(self._tenant, [(name, 9) for name in names])

    async def told(self) -> None:
        """Each is a call of its own, `batch` in a tick."""
        await _ticks(self._new, self._batch, lambda job: self._store.told(self._tenant, job.id, 9, None))


ORDER = ("create", "confirm", "begin", "renew", "apply", "announce", "announce_again", "told")


async def _costs(valkey: Valkey, rounds: int, items: int) -> dict[str, Any]:
    store, found = ValkeyJobs(valkey), {batch: {step: [] for step in ORDER} for batch in BATCHES}
    for number in range(rounds):
        for batch in random.sample(BATCHES, len(BATCHES)):
            tenant = f"t{number}-{batch}"
            steps = Steps(store, tenant, 0, items, batch)
            for step in ORDER:
                found[batch][step].append(await _cost(valkey, items, getattr(steps, step)))
            await valkey.command("FLUSHALL")
    return {step: {str(batch): _medians(found[batch][step]) for batch in BATCHES} for step in ORDER}


def _medians(costs: list[Micros]) -> Micros:
    return {name: round(median([cost[name] for cost in costs]), 2) for name in costs[0]}


async def _memory(valkey: Valkey, jobs: int) -> dict[str, float]:
    """Bytes of the store per job, at each stage, with its places in the lists and agenda."""
    steps, found = Steps(ValkeyJobs(valkey), "memory", 0, jobs, 500), {}
    before = await _used(valkey)
    for stage, names in {
        "accepted": ("create", "confirm"),
        "finished": ("begin", "apply", "announce"),
        "told": ("told",),
    }.items():
        for name in names:
            await getattr(steps, name)()
        found[stage] = round((await _used(valkey) - before) / jobs)
    await valkey.command("FLUSHALL")
    return found


async def _used(valkey: Valkey) -> int:
    return int((await valkey.command("INFO", "memory"))["used_memory"])


async def _lists(valkey: Valkey, jobs: int) -> dict[str, float]:
    """Microseconds that the store counts for one page of 100, with so many jobs in the tenant, 100 of them of key-7."""
    store, tenant = ValkeyJobs(valkey), "lists"
    rare = {number for number in range(jobs) if number % (jobs // 100) == 0}
    new = [
        new_job(tenant, number, "key-7" if number in rare else "key-1", "user-7" if number in rare else "user-1")
        for number in range(jobs)
    ]
    await _ticks(new, 500, store.create)
    pages = {
        "newest": {"after": ""},
        "deep": {"after": new[jobs // 2].id},
        "rare key and user": {"after": "", "key_id": "key-7", "user": "user-7"},
        "common key and user": {"after": new[jobs // 2].id, "key_id": "key-1", "user": "user-1"},
    }
    found = {name: await _page(valkey, store, tenant, page) for name, page in pages.items()}
    plan = await valkey.command("ZCARD", f"{prefix_of(tenant)}:agenda")
    await valkey.command("CONFIG", "RESETSTAT")
    await store.claim(tenant, 100, 1000)
    found["claim of 100, none due"] = (await valkey.command("INFO", "commandstats"))["cmdstat_fcall"]["usec"]
    await valkey.command("FLUSHALL")
    return {"jobs": jobs, "agenda": plan, **found}


async def _page(valkey: Valkey, store: ValkeyJobs, tenant: str, page: dict[str, str]) -> float:
    times = []
    for _ in range(9):
        await valkey.command("CONFIG", "RESETSTAT")
        jobs = await store.list(tenant, batches=False, limit=100, **page)
        if len(jobs) != 100:
            raise RuntimeError(f"a page has {len(jobs)} jobs, not 100")
        times.append((await valkey.command("INFO", "commandstats"))["cmdstat_fcall"]["usec"])
    return median(times)


async def measure(settings: ValkeySettings, args: argparse.Namespace) -> dict[str, Any]:
    """All of it."""
    valkey = Valkey(settings)
    try:
        return {
            "microseconds": await _costs(valkey, args.rounds, args.items),
            "bytes_per_job": await _memory(valkey, args.memory_jobs),
            "page_of_100_microseconds": await _lists(valkey, args.listed),
        }
    finally:
        await valkey.close()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, default=5_000, help="jobs per batch size and round")
    parser.add_argument("--memory-jobs", type=int, default=20_000)
    parser.add_argument("--listed", type=int, default=100_000)
    parser.add_argument("--out")
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})  # where the store begins, it stays
    with ValkeyProcess(appendfsync="everysec") as store:
        os.sched_setaffinity(0, {cores[0]})
        found = uvloop.run(measure(store.settings(op_timeout_ms=10_000), args))
    emit("jobs_store", found, args.out)


if __name__ == "__main__":
    main()
