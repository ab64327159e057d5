"""What a batch's files cost the jobs service: a full input (50,000 lines, 200 MiB) uploaded, cut, and answered.

`python -m loadtests.batch_files`. Blobs in a directory, synced; gateway and store are stubs that answer in the next
turn of the event loop, so that figures are those of reading, checking, cutting and writing alone. Per step: seconds of
wall clock and of CPU, the longest time for which the event loop was held (ms), and how far the process's peak memory
rose over what it had before (MiB).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from libs.blobs import LocalBlobs
from libs.clock import SystemClock
from libs.files import FileStore, NewFile, StoredFile
from loadtests.common.report import emit, median
from services.jobs.adapters.memory_store import MemoryJobs
from services.jobs.domain.agenda import Due
from services.jobs.domain.job import Batch, Caller, JobState, NewJob, StepResult
from services.jobs.ports.neighbours import Reserved
from services.jobs.usecases.batch_files import BatchFileMeans, BatchFiles
from services.jobs.usecases.expansion import Expander, ExpansionMeans, viewer_of

ANN = Caller("acme", "key-1", "ann")
CHAT = "/v1/chat/completions"
LINES = 50_000
LINE_BYTES = 200 * 2**20 // LINES
_TICK_SECONDS = 0.001


class Gateways:
    """Sets aside at once."""

    async def reserve(self, _reservation: str, _caller: Caller, works: Sequence[bytes], *, batch: bool) -> Reserved:
        """See neighbours.Gateways."""
        await asyncio.sleep(0)
        return Reserved(len(works) * (1 + batch), ("small",) * len(works))

    async def release(self, tenant: str, reservations: Sequence[str]) -> None:
        """Nothing is to be released here."""
        raise AssertionError((tenant, reservations))


class Outgoing:
    """Sends nothing."""

    async def request(self, dues: Sequence[Due]) -> None:
        """See running.Outgoing."""
        await asyncio.sleep(0)
        if not dues:
            raise AssertionError("a batch without parts was confirmed")


class Results(MemoryJobs):
    """A job whose steps all have answers of 2 KiB, made as they are read."""

    async def results(self, _tenant: str, _job: str, first: int, limit: int) -> Sequence[StepResult]:
        """See store.Jobs."""
        await asyncio.sleep(0)
        body = json.dumps({"choices": [{"message": {"content": "z" * 2048}}]}).encode()
        return [
            StepResult(step, f"r{step}", 200, f"req-{step}", body) for step in range(first, min(LINES, first + limit))
        ]


async def _lines() -> AsyncGenerator[bytes]:
    for number in range(LINES):
        head = {"custom_id": f"r{number}", "method": "POST", "url": CHAT}
        bare = len(json.dumps(head | {"body": {"model": "small", "text": ""}})) + 1
        body = {"model": "small", "text": "x" * (LINE_BYTES - bare)}
        yield json.dumps(head | {"body": body}).encode() + b"\n"
        if number % 100 == 0:
            await asyncio.sleep(0)


async def _measured(work: Callable[[], Awaitable[Any]]) -> tuple[Any, dict[str, float]]:
    before = _forgotten_peak_mib()
    held = [0.0]
    ticking = asyncio.create_task(_tick(held))
    wall, cpu = time.perf_counter(), time.process_time()
    found = await work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    ticking.cancel()
    row = {"seconds": wall, "cpu_seconds": cpu, "loop_held_ms": 1e3 * held[0], "peak_mib": _peak_mib() - before}
    return found, row


def _forgotten_peak_mib() -> float:
    Path("/proc/self/clear_refs").write_text("5")
    return _peak_mib()


def _peak_mib() -> float:
    """Peak memory since it was last cleared, MiB."""
    line = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


async def _tick(held: list[float]) -> None:
    last = time.perf_counter()
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        now = time.perf_counter()
        held[0], last = max(held[0], now - last - _TICK_SECONDS), now


async def _round(folder: Path) -> dict[str, dict[str, float]]:
    blobs, jobs = LocalBlobs(folder), MemoryJobs(SystemClock())
    files = FileStore(blobs, SystemClock())
    upload = NewFile(filename="in.jsonl", purpose="batch")
    rows = {}
    file: StoredFile
    file, rows["upload"] = await _measured(lambda: files.create(viewer_of(ANN), upload, _lines()))
    await jobs.create(NewJob("batch_1", ANN, "f", 86_400, batch=Batch(file.id, CHAT)))
    expander = Expander(ExpansionMeans(jobs, jobs, Gateways(), files, Outgoing(), jobs))  # type: ignore[arg-type]
    _, rows["expand"] = await _measured(lambda: expander.expand(ANN.tenant, "batch_1"))
    job = await jobs.get(ANN.tenant, "batch_1")
    if job is None or job.total != LINES or job.state is not JobState.REQUESTED:
        raise RuntimeError(f"the batch came to {job}")
    written = BatchFiles(BatchFileMeans(files, blobs, Results(SystemClock())))
    ended = replace(job, state=JobState.SUCCEEDED, succeeded=LINES)
    _, rows["outputs"] = await _measured(lambda: written.write_outputs(ended))
    return rows


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out")
    arguments = parser.parse_args()
    found = []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            found.append(asyncio.run(_round(Path(folder))))
    steps = {
        step: {name: round(median([each[step][name] for each in found]), 3) for name in found[0][step]}
        for step in found[0]
    }
    result = {"lines": LINES, "line_bytes": LINE_BYTES, "rounds": arguments.rounds, "steps": steps}
    emit("batch_files", result, arguments.out)


if __name__ == "__main__":
    main()
