"""What the faces of jobs cost a gateway's event loop: large bodies, uploads, downloads, watchers. Prints JSON.

    python -m loadtests.job_faces

The real routes on a socket of loopback, the jobs service behind them in the same process and in memory (so its part of
the work counts too, which is most of it for large jobs), blobs on disk. `busy_ms` is the most CPU time that the event
loop spent between two turns of a task that wants one every millisecond. `gateway_busy_ms` is that of a gateway alone,
which reads the body and writes the message: what a live stream beside it waits for at worst.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from libs.blobs import LocalBlobs
from libs.clock import SystemClock
from libs.files import FileStore
from libs.telemetry.metrics import Registry
from libs.testing.inmem import InMemoryChannel
from services.gateway.adapters.jobs import RpcJobs
from services.gateway.api.connection import ConnectionLimits
from services.gateway.api.ports import Anonymous
from services.gateway.api.server import RestServer
from services.gateway.api.testing import ScriptedPipeline
from services.gateway.composition.face import Ports, compose
from services.gateway.settings import GatewaySettings
from services.gateway.wire.job_bodies import body_of
from services.jobs.adapters.memory_store import MemoryJobs
from services.jobs.api.service import JobServer
from services.jobs.ports.neighbours import Reserved
from services.jobs.usecases.accept import AcceptMeans, Acceptor
from services.jobs.usecases.reading import JobReader
from services.jobs.usecases.watch import Watches

MIB = 2**20


class _Gateways:
    """Sets aside at once: what it costs to look at requests is measured elsewhere."""

    async def reserve(self, _: str, __: Any, works: Any, *, batch: bool) -> Reserved:
        return Reserved(len(works) * (1 + batch), ("small",) * len(works))

    async def release(self, *_: Any) -> None:
        """Nothing is kept."""


class _Outgoing:
    async def request(self, _: Any) -> None:
        """Nobody is told."""

    async def finished(self, _: Any) -> None:
        """Nobody is told."""


class _Turns:
    """The most that this thread did between two turns of a task that wants one every millisecond."""

    def __init__(self) -> None:
        self.busy = 0.0

    async def run(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            self.busy = max(self.busy, time.thread_time() - before)


@asynccontextmanager
async def _gateway(directory: Path) -> Any:
    clock = SystemClock()
    blobs = LocalBlobs(directory)
    store, files = MemoryJobs(clock), FileStore(blobs, clock)
    means = AcceptMeans(store, store, _Gateways(), _Outgoing(), blobs, files)  # type: ignore[arg-type]
    server = JobServer(Acceptor(means), store, JobReader(store, blobs), Watches(store, clock))
    edge = RpcJobs([InMemoryChannel(server.handlers(), identity="gateway")], clock, lambda: 0.5)
    ports = Ports(ScriptedPipeline(), Anonymous(), Registry(), clock, jobs=edge, files=files)
    rest = RestServer(compose(GatewaySettings(), ports).rest, "127.0.0.1", 0, limits=ConnectionLimits())
    port = await rest.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await rest.drain(1.0)
        await edge.close()


async def _measured(work: Any) -> dict[str, float]:
    """Wall and CPU time of what is awaited, and the longest turn of this loop meanwhile."""
    turns = _Turns()
    beside = asyncio.create_task(turns.run())
    cpu, wall = time.process_time(), time.perf_counter()
    await work
    found = {"wall_ms": (time.perf_counter() - wall) * 1e3, "cpu_ms": (time.process_time() - cpu) * 1e3}
    beside.cancel()
    with suppress(asyncio.CancelledError):
        await beside
    return {name: round(value, 2) for name, value in (found | {"busy_ms": turns.busy * 1e3}).items()}


def _client(base: str, body: str) -> list[str]:
    """A client of its own process, which reads `body` on its standard input: this loop is the gateway's alone."""
    return ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-", "-X", "POST", base + body]


async def _run(command: list[str], data: bytes = b"") -> str:
    piped = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=piped, stdout=piped)
    out, _ = await process.communicate(data)
    return out.decode()


async def _post(base: str, body: bytes) -> None:
    status = await _run(_client(base, "/v1/jobs"), body)
    if status != "202":
        raise RuntimeError(f"status {status}")


async def _upload(base: str, path: Path) -> None:
    form = ["-F", "purpose=batch", "-F", f"file=@{path}"]
    status = await _run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *form, base + "/v1/files"])
    if status != "200":
        raise RuntimeError(f"status {status}")


def _body(requests: int, size: int) -> bytes:
    chat = {"model": "small", "messages": [{"role": "user", "content": "x" * size}]}
    return json.dumps({"requests": [chat] * requests}).encode()


def _gateway_alone(body: bytes) -> float:
    """Milliseconds of CPU of the longest bit."""
    bits, worst, submission = body_of(body, 1000), 0.0, None
    while submission is None:
        before = time.thread_time()
        try:
            next(bits)
        except StopIteration as end:
            submission = end.value.submission
        worst = max(worst, time.thread_time() - before)
    before = time.thread_time()
    submission.SerializeToString()
    return round(max(worst, time.thread_time() - before) * 1e3, 2)


async def _all(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"cpus": os.cpu_count()}
    async with _gateway(directory) as base:
        await _post(base, _body(1, 100))
        found["job of 1"] = await _measured(_post(base, _body(1, 100)))
        found["job of 1,000, 200 B each"] = await _measured(_post(base, _body(1000, 200)))
        large = await _measured(_post(base, _body(1000, 6 * 1024)))
        found["job of 1,000, 6 KiB each"] = large | {"gateway_busy_ms": _gateway_alone(_body(1000, 6 * 1024))}
        found["job of 60, 100 KiB each"] = await _measured(_post(base, _body(60, 100 * 1024)))
        file = directory / "in.jsonl"
        file.write_bytes((b"x" * 999 + b"\n") * (100 * MIB // 1000))
        found["upload of 100 MiB"] = await _measured(_upload(base, file))
        async with httpx.AsyncClient(base_url=base, trust_env=False) as http:
            file_id = (await http.get("/v1/files")).json()["data"][0]["id"]
        url = f"{base}/v1/files/{file_id}/content"
        found["download of 100 MiB"] = await _measured(_run(["curl", "-sS", "-o", "/dev/null", url]))
    return found


def main() -> None:
    """Measures once."""
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(asyncio.run(_all(Path(directory))), indent=2))


if __name__ == "__main__":
    main()
