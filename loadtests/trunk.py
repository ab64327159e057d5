"""The trunk against stock grpc.aio: same handlers, same payloads, same run, rounds interleaved.

A server process on core 0 and a client process on core 1, both on uvloop as the services are. CPU time is the
processes' own (user + system) over the measured window, divided by calls or frames. `calls`: unary, 100 bytes, at 1, 16
and 64 callers. `frames`: streams of deltas at 20 ms, 64 and 500 of them. Ratios are stock over trunk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import uvloop
from headrace.inference.v1 import inference_pb2 as pb

from libs.clock import SystemClock
from libs.rpc.api import CallInfo, Channel, Handler, Responder
from libs.rpc.dial import dial
from libs.rpc.method import method
from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from loadtests.common.procs import Process, cpu_seconds, wait_for
from loadtests.common.report import emit, median, quantile

SERVICE = pb.DESCRIPTOR.services_by_name["InferenceService"]
COUNT = method(SERVICE, "Count", pb.CountRequest, pb.CountResponse)
GENERATE = method(SERVICE, "Generate", pb.GenerateRequest, pb.GenerateResponse)
PORT = 18380
PACE = 0.02
CALLS, STREAMS = (1, 16, 64), (64, 500)


async def count(_: pb.CountRequest, __: CallInfo) -> pb.CountResponse:
    """The unary handler."""
    return pb.CountResponse(tokens=7)


class Ticker:
    """Feeds all streams every 20 ms, as an engine's step does."""

    def __init__(self) -> None:
        self._open: dict[Responder[pb.GenerateResponse], int] = {}

    async def run(self) -> None:
        """Runs for ever."""
        due = time.monotonic()
        while True:
            due += PACE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            for responder, index in list(self._open.items()):
                responder.send(pb.GenerateResponse(first_index=index, token_ids=[1000 + index], text=" river"))
                self._open[responder] = index + 1

    async def generate(self, _: pb.GenerateRequest, responder: Responder[pb.GenerateResponse], __: CallInfo) -> None:
        """The streaming handler: open until the caller leaves."""
        gone = asyncio.Event()
        self._open[responder] = 0
        responder.on_cancel(lambda: (self._open.pop(responder, None) and None) or gone.set())
        try:
            await gone.wait()
        finally:
            self._open.pop(responder, None)


async def serve() -> None:
    """The server process."""
    ticker = Ticker()
    handlers = [Handler(COUNT, count), Handler(GENERATE, ticker.generate)]
    server = RpcServer("inference", handlers, RpcServerSettings(port=PORT), clock=SystemClock(), token="bench")  # noqa: S106
    await server.start()
    await ticker.run()


async def call_load(channel: Channel, callers: int, seconds: float) -> dict[str, Any]:
    """A closed loop of unary calls."""
    request = pb.CountRequest(model="m" * 90)
    latencies: list[float] = []
    until = time.monotonic() + seconds

    async def caller() -> None:
        while (began := time.monotonic()) < until:
            await channel.call(COUNT, request, timeout=5)
            latencies.append(time.monotonic() - began)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return {
        "units": len(latencies),
        "p50_us": 1e6 * quantile(latencies, 0.5),
        "p99_us": 1e6 * quantile(latencies, 0.99),
    }


async def frame_load(channel: Channel, streams: int, seconds: float) -> dict[str, Any]:
    """Paced streams, all read."""
    frames = 0

    async def reader() -> None:
        nonlocal frames
        stream = channel.stream(GENERATE, pb.GenerateRequest(), timeout=600)
        while batch := await stream.next_batch():
            frames += len(batch)

    readers = [asyncio.ensure_future(reader()) for _ in range(streams)]
    await asyncio.sleep(1.0)
    before, frames = frames, 0
    print(json.dumps({"ev": "begin"}), flush=True)
    await asyncio.sleep(seconds)
    result = {"units": frames, "expected": int(streams * seconds / PACE), "ramp": before}
    print(json.dumps({"ev": "end"}), flush=True)
    for task in readers:
        task.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    return result


async def client(transport: str, row: str, seconds: float) -> None:
    """The client process."""
    channel = dial(f"127.0.0.1:{PORT}", transport, identity="gateway", token="bench")  # type: ignore[arg-type] # noqa: S106
    kind, size = row.split(":")
    await channel.call(COUNT, pb.CountRequest(), timeout=5)
    if kind == "calls":
        await call_load(channel, int(size), 0.3)
        print(json.dumps({"ev": "begin"}), flush=True)
        result = await call_load(channel, int(size), seconds)
        print(json.dumps({"ev": "end"}), flush=True)
    else:
        result = await frame_load(channel, int(size), seconds)
    print(json.dumps(result), flush=True)
    await channel.close()


def listening() -> bool:
    """The server process accepts connections."""
    socket.create_connection(("127.0.0.1", PORT), 1).close()
    return True


def measure(transport: str, row: str, seconds: float) -> dict[str, Any]:
    """One fresh pair of processes."""
    me = [sys.executable, "-m", "loadtests.trunk"]
    server = Process("0", [*me, "--serve"], Path("/dev/null"))
    try:
        wait_for(listening, 30, "the server process")
        command = ["taskset", "-c", "1", *me, "--client", transport, "--row", row, "--seconds", str(seconds)]
        load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        samples, result = [], {}
        for line in load.stdout or ():
            event = json.loads(line)
            if "ev" in event:
                samples.append((cpu_seconds([server.pid]), cpu_seconds([load.pid])))
            else:
                result = event
        load.wait()
    finally:
        server.stop()
    (s0, c0), (s1, c1) = samples
    units = result["units"]
    server_us, client_us = 1e6 * (s1 - s0) / units, 1e6 * (c1 - c0) / units
    return {**result, "server_us": server_us, "client_us": client_us, "cpu_us": server_us + client_us}


def main() -> None:
    """Entry point: `python -m loadtests.trunk --rounds 3`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rows", default=",".join([*(f"calls:{n}" for n in CALLS), *(f"frames:{n}" for n in STREAMS)]))
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--client", choices=("trunk", "grpc"))
    parser.add_argument("--row")
    parser.add_argument("--out")
    args = parser.parse_args()
    if args.serve:
        uvloop.run(serve())
        return
    if args.client:
        uvloop.run(client(args.client, args.row, args.seconds))
        return
    rows = args.rows.split(",")
    rounds = [
        {
            row: {t: measure(t, row, args.seconds) for t in (("trunk", "grpc") if n % 2 else ("grpc", "trunk"))}
            for row in rows
        }
        for n in range(args.rounds)
    ]
    summary = {
        row: {
            **{t: median([r[row][t]["cpu_us"] for r in rounds]) for t in ("trunk", "grpc")},
            "ratio": median([r[row]["grpc"]["cpu_us"] / r[row]["trunk"]["cpu_us"] for r in rounds]),
            "p50_us": {t: median([r[row][t].get("p50_us", float("nan")) for r in rounds]) for t in ("trunk", "grpc")},
            "held": {
                t: median([r[row][t]["units"] / r[row][t].get("expected", r[row][t]["units"]) for r in rounds])
                for t in ("trunk", "grpc")
            },
        }
        for row in rows
    }
    emit("trunk", {"summary": summary, "rounds": rounds}, args.out)


if __name__ == "__main__":
    main()
