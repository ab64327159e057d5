"""CPU of a job's request at its gateway against the same request made live, and what Reserve does to live calls.

One stack: Valkey (append-only file, synced every second), a router, a simulated worker and a gateway, which has core 0
to itself; everything else is on core 1. This process asks the gateway's inside port over a trunk, as the jobs service
does.

Rows of `request`: CPU of the gateway's process (user + system from /proc) per request with `--tokens` answer tokens, 16
at once: `live` is a plain REST call answered whole, `keyed` one with an Idempotency-Key, `performed` is Perform. Rounds
alternate, figures are medians over rounds.

Rows of `reserve`: CPU per request of a Reserve of 50 requests of about 2 kB each, and time to first token of live
streams (20 a second) while Reserves come one behind the other, against the same without them.

    python -m loadtests.work_cost [--rounds 5] [--calls 400] [--tokens 64]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from headrace.gateway.v1 import work_pb2 as pb

from libs.rpc.api import Channel
from libs.rpc.dial import dial
from loadtests.common import client
from loadtests.common.procs import cpu_seconds
from loadtests.common.report import emit, median, quantile
from loadtests.common.stack import MODEL_NAME, TOKEN, Layout, Stack, gateway_name
from services.gateway.api.grpc_work import PATH, PERFORM, RELEASE, RESERVE

BASE_PORT = 21_300
AT_ONCE, RESERVED, LIVE_PER_SECOND = 16, 50, 20
SECONDS = 120.0


class Bench:
    """A stack, and both ways to its gateway."""

    def __init__(self, stack: Stack, inside: Channel, tokens: int) -> None:
        self._stack, self._inside, self._tokens = stack, inside, tokens
        (record,) = json.loads((stack.directory / "keys.json").read_text())
        self._caller = pb.Caller(tenant=record["tenant"], key_id=record["id"])
        self._headers = {"authorization": f"Bearer {stack.key}"}
        self._pids = stack.pids(gateway_name(0))

    def body(self, length: int = 400) -> dict[str, Any]:
        """A request whose prompt nobody has seen."""
        text = (f"{uuid.uuid4().hex} " * (length // 33 + 1))[:length]
        messages = [{"role": "user", "content": text}]
        return {"model": MODEL_NAME, "messages": messages, "max_tokens": self._tokens, "ignore_eos": True}

    def work(self, length: int = 400) -> pb.Work:
        """The same, of a job."""
        return pb.Work(body=json.dumps(self.body(length)).encode(), path=PATH)

    async def live(self, _: int, *, keyed: bool = False) -> None:
        """One REST call."""
        headers = {**self._headers, **({"idempotency-key": uuid.uuid4().hex} if keyed else {})}
        answer = await client.whole(self._stack.rest_port, self.body(), headers)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.body!r}")

    async def keyed(self, number: int) -> None:
        """One REST call with a key."""
        await self.live(number, keyed=True)

    async def reserve(self, reservation: str, works: list[pb.Work]) -> None:
        """Sets the cost of requests aside."""
        request = pb.ReserveRequest(reservation=reservation, caller=self._caller, requests=works)
        await self._inside.call(RESERVE, request, timeout=SECONDS)

    async def release(self, reservation: str) -> None:
        """Frees it."""
        request = pb.ReleaseRequest(tenant=self._caller.tenant, reservations=[reservation])
        await self._inside.call(RELEASE, request, timeout=SECONDS)

    async def perform(self, reservation: str, work: pb.Work, key: str) -> None:
        """One request of a job."""
        request = pb.PerformRequest(reservation=reservation, tenant=self._caller.tenant, work=work, key=key)
        last = pb.PerformResponse()
        async for response in self._inside.stream(PERFORM, request, timeout=SECONDS):
            last = response
        if last.outcome.status_code != 200:
            raise RuntimeError(f"not performed: {last}")

    async def round(self, calls: int, one: Callable[[int], Awaitable[None]]) -> float:
        """Microseconds of the gateway's CPU per call."""
        left = iter(range(calls))

        async def caller() -> None:
            for number in left:
                await one(number)

        before = cpu_seconds(self._pids)
        await asyncio.gather(*[caller() for _ in range(AT_ONCE)])
        return (cpu_seconds(self._pids) - before) / calls * 1e6

    async def performed(self, calls: int) -> float:
        """As `round`, of Perform alone: what reserves and releases is not counted."""
        name, works = f"job_{uuid.uuid4().hex[:24]}", [self.work() for _ in range(calls)]
        for at in range(0, calls, RESERVED):
            await self.reserve(f"{name}:{at // RESERVED}", works[at : at + RESERVED])

        async def one(number: int) -> None:
            await self.perform(f"{name}:{number // RESERVED}", works[number], f"{name}/{number}")

        cost = await self.round(calls, one)
        for part in range(-(-calls // RESERVED)):
            await self.release(f"{name}:{part}")
        return cost

    async def reserves(self, seconds: float) -> tuple[int, float]:
        """Reserves one behind the other; how many requests, and the gateway's CPU for each in microseconds."""
        before, until, count = cpu_seconds(self._pids), time.monotonic() + seconds, 0
        while time.monotonic() < until:
            name = f"job_{uuid.uuid4().hex[:24]}"
            await self.reserve(name, [self.work(2000) for _ in range(RESERVED)])
            await self.release(name)
            count += RESERVED
        return count, (cpu_seconds(self._pids) - before) / count * 1e6

    async def first_tokens(self, seconds: float) -> list[float]:
        """Seconds to the first token of live streams that come at a fixed rate."""
        tasks, began = [], time.monotonic()
        while (at := len(tasks) / LIVE_PER_SECOND) < seconds:
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            tasks.append(asyncio.ensure_future(client.stream(self._stack.rest_port, self.body(), self._headers)))
        answers = await asyncio.gather(*tasks)
        for answer in answers:
            if not answer.done or answer.error:
                raise RuntimeError(f"{answer.status}: {answer.error}")
        return [answer.ttft for answer in answers]


async def measure(stack: Stack, options: argparse.Namespace) -> dict[str, Any]:
    """All rows."""
    inside = dial(f"127.0.0.1:{stack.inside_port(0)}", "trunk", identity="jobs", token=TOKEN)
    try:
        bench = Bench(stack, inside, options.tokens)
        ways = {"live": bench.live, "keyed": bench.keyed}
        costs: dict[str, list[float]] = {"live": [], "keyed": [], "performed": []}
        for number in range(options.rounds + 1):
            for name, one in ways.items():
                cost = await bench.round(options.calls, one)
                costs[name] += [cost] if number else []
            cost = await bench.performed(options.calls)
            costs["performed"] += [cost] if number else []
        alone, beside, counts = [], [], []
        for _ in range(options.rounds):
            alone += await bench.first_tokens(options.seconds)
            found, reserved = await asyncio.gather(bench.first_tokens(options.seconds), bench.reserves(options.seconds))
            beside += found
            counts.append(reserved)
        idle = [(await bench.reserves(1.0))[1] for _ in range(options.rounds)]
    finally:
        await inside.close()
    return {
        "request": {name: _costs(each) for name, each in costs.items()},
        "performed_to_keyed": round(median(costs["performed"]) / median(costs["keyed"]), 3),
        "reserve": {
            "cpu_us_per_request": round(median(idle), 1),
            "requests_per_second_beside_live": round(median([count for count, _ in counts]) / options.seconds),
            "ttft_ms_alone": _spread(alone),
            "ttft_ms_beside": _spread(beside),
        },
    }


def _costs(rounds: list[float]) -> dict[str, Any]:
    return {"cpu_us": round(median(rounds), 1), "rounds": [round(each) for each in rounds]}


def _spread(seconds: list[float]) -> dict[str, float]:
    return {f"p{q}": round(1000 * quantile(seconds, q / 100), 2) for q in (50, 90, 99)}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})
    layout = Layout(
        base_port=BASE_PORT,
        inner_core="1",
        worker_core="1",
        worker_args=["--simulated.running_max", "64"],
        op_timeout_ms=5000,
        gateway_args=["--inside.port", str(BASE_PORT + 60), "--jobs.addresses", json.dumps(["127.0.0.1:1"])],
    )
    with Stack(layout) as stack:
        emit("work_cost", uvloop.run(measure(stack, options)), options.out and str(options.out))


if __name__ == "__main__":
    main()
