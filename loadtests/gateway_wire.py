"""CPU of the gateway's wire alone: uvicorn, decoding, checking a key, encoding; the pipeline is a script.

`python -m loadtests.gateway_wire` prints a JSON line per row: server CPU in microseconds, ours and the kernel's, per
request (1 token out) and per frame (64 tokens out, all streams paced by one tick), and for the script alone.
`--profile FILE` writes a cProfile of the server.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple

import uvloop
from headrace.inference.v1.inference_pb2 import FINISH_REASON_STOP, GenerateResponse

from libs.clock import SystemClock
from services.gateway.adapters.accounts.memory import MemoryAccounts
from services.gateway.api.testing import ended, public_face, started
from services.gateway.domain.accounts.records import Key, Tenant
from services.gateway.domain.auth import hash_key
from services.gateway.domain.ledger.types import Standing
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.turns import ChatRequest, Principal, Sampling
from services.gateway.events import Delta, Event
from services.gateway.usecases.accounts.authenticator import KeyAuthenticator

KEY, PEPPER = "sk-hr-" + "a" * 48, b"p" * 32
PROMPT = "word " * 100


class TickedPipeline:
    """Answers of `max_tokens` deltas; one timer wakes all streams, as one trunk message wakes all calls."""

    def __init__(self, tick_seconds: float) -> None:
        self.tick_seconds = tick_seconds
        self.waiting: list[asyncio.Future[None]] = []

    async def chat(
        self,
        request: ChatRequest,
        principal: Principal,
        *,
        request_id: str,
        deadline: float,
        write: Callable[[GenerateResponse, str], bool] | None = None,
        held: Callable[[Standing], None] | None = None,
    ) -> AsyncGenerator[list[Event], None]:
        """See Pipeline."""
        del principal, deadline, held
        tokens = request.sampling.max_tokens or 1
        first: list[Event] = [started(request, request_id)]
        for i in range(tokens):
            if self.tick_seconds:
                future = asyncio.get_running_loop().create_future()
                self.waiting.append(future)
                await future
            delta = GenerateResponse(choice=0, first_index=i, token_ids=[i], text=" token")
            if i == tokens - 1:
                delta.finish = FINISH_REASON_STOP
                yield [*first, Delta(delta), ended(request, tokens)]
            elif first or write is None or not write(delta, " token"):
                yield [*first, Delta(delta)]
            first = []

    async def tick(self) -> None:
        """Wakes everybody, for ever."""
        while True:
            await asyncio.sleep(self.tick_seconds or 1.0)
            waiting, self.waiting = self.waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def models(self) -> list[ModelInfo]:
        """See Pipeline."""
        return []

    def ready(self) -> bool:
        """See Pipeline."""
        return True


def door() -> KeyAuthenticator:
    """A key check as in life; after its first use the key is in memory."""
    key = Key(tenant="acme", id="key_1", hmac=hash_key(PEPPER, KEY))
    return KeyAuthenticator(MemoryAccounts(Tenant(id="acme"), key), SystemClock(), PEPPER)


class Cpu(NamedTuple):
    """CPU microseconds (or seconds, where it says so): ours and uvloop's, and the kernel's."""

    user: float
    system: float

    def minus(self, other: Cpu, per: float = 1.0) -> Cpu:
        """The difference, divided."""
        return Cpu((self.user - other.user) / per, (self.system - other.system) / per)


def cpu_seconds() -> Cpu:
    """CPU of this process so far, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Cpu(used.ru_utime, used.ru_stime)


async def serve(tick_seconds: float) -> None:
    """The server: prints its port, then answers each line on stdin with its CPU seconds."""
    pipeline = TickedPipeline(tick_seconds)
    async with public_face(pipeline, authenticator=door(), watch_every=0.25) as face:
        ticking = asyncio.create_task(pipeline.tick())
        print(face.port, flush=True)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            print(*cpu_seconds(), flush=True)
        ticking.cancel()


async def script_alone(tick_seconds: float, streams: int, tokens: int) -> Cpu:
    """Microseconds per frame of the script without a wire: what must be taken off."""
    pipeline = TickedPipeline(tick_seconds)
    ticking = asyncio.create_task(pipeline.tick())
    request = ChatRequest("m", (), Sampling(max_tokens=tokens))

    async def consume() -> None:
        async for _ in pipeline.chat(request, Principal("t", "k"), request_id="r", deadline=0.0):
            pass

    before = cpu_seconds()
    await asyncio.gather(*(consume() for _ in range(streams)))
    ticking.cancel()
    return cpu_seconds().minus(before, streams * tokens / 1e6)


def request_bytes(tokens: int) -> bytes:
    """Two messages, about a hundred prompt tokens, an explicit session."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}]
    body = json.dumps({"model": "small", "messages": messages, "max_tokens": tokens, "stream": True}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n"
        "content-type: application/json\r\naccept: text/event-stream\r\nuser-agent: bench\r\nx-session-id: s-1\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def call(port: int, tokens: int, calls: int) -> None:
    """One caller on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    data = request_bytes(tokens)
    for _ in range(calls):
        writer.write(data)
        answer = await reader.readuntil(b"\r\n0\r\n\r\n")
        if b"[DONE]" not in answer:
            raise RuntimeError(answer[-300:])
    writer.close()


async def load(port: int, callers: int, tokens: int, calls: int) -> None:
    """All callers at once."""
    await asyncio.gather(*(call(port, tokens, calls) for _ in range(callers)))


def measure(tick_seconds: float, callers: int, tokens: int, calls: int, profile: str) -> Cpu:
    """Server CPU microseconds per call."""
    command = [sys.executable, "-m", "loadtests.gateway_wire", "--serve", str(tick_seconds), "--profile", profile]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        if server.stdin is None or server.stdout is None:
            raise RuntimeError("no pipes to the server")
        os.sched_setaffinity(server.pid, {0})
        port = int(server.stdout.readline())

        def used() -> tuple[float, float]:
            print("cpu", file=server.stdin, flush=True)
            user, system = server.stdout.readline().split() if server.stdout else ("0", "0")
            return float(user), float(system)

        uvloop.run(load(port, callers, tokens, max(1, calls // 10)))
        before = used()
        uvloop.run(load(port, callers, tokens, calls))
        after = used()
        server.stdin.close()
    return Cpu(*((b - a) / (callers * calls) * 1e6 for a, b in zip(before, after, strict=True)))


def main() -> None:
    """See the module."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--serve", type=float)
    arguments.add_argument("--profile", default="")
    arguments.add_argument("--rounds", type=int, default=3)
    chosen = arguments.parse_args()
    if chosen.serve is not None:
        if chosen.profile:
            profiler = cProfile.Profile()
            profiler.runcall(uvloop.run, serve(chosen.serve))
            profiler.dump_stats(chosen.profile)
        else:
            uvloop.run(serve(chosen.serve))
        return
    os.sched_setaffinity(0, {1})
    rounds = [one_round(chosen.profile) for _ in range(chosen.rounds)]
    for row in rounds[0]:
        median = [round(statistics.median(each[row][part] for each in rounds), 2) for part in (0, 1)]
        print(json.dumps({"row": row, "user_us": median[0], "system_us": median[1]}))


def one_round(profile: str) -> dict[str, Cpu]:
    """All rows once; a profile is of the paced frames of 64 streams."""
    request = measure(0.0, 64, 1, 200, "")
    few, many = measure(0.02, 64, 64, 10, profile), measure(0.02, 500, 64, 3, "")
    return {
        "request, 64 callers": request,
        "frame, 64 streams, script included": few.minus(request, 63),
        "frame, 500 streams, script included": many.minus(request, 63),
        "frame of the script alone": uvloop.run(script_alone(0.02, 500, 64)),
    }


if __name__ == "__main__":
    main()
