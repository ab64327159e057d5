"""What routing adds to a request: the gateway's way to the router for `auto`, Choose and then Place, over the trunk.

A real router on core 0 with tiers, a store and two simulated workers that tell their KV blocks; this process on core 1
is the gateway's side of the edge, with the gateway's own code: the facts of the turn, the hashes of the prompt's
blocks, both calls, the answers as the gateway takes them. 16 callers, each of which waits between two requests as long
as an answer would take, so that the router is asked at a known rate; and as fast as they can. Requests are user turns
of 300 characters, no two alike, over prompts of 2,048 tokens in 500 sessions.

CPU is user + system of both processes over the window, less that of the same loop without the two calls, per request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvloop

from libs.block_hash import block_hashes
from libs.clock import SystemClock
from libs.rpc.dial import dial
from libs.rpc.replicas import ReplicatedChannel
from loadtests.common.procs import cpu_seconds
from loadtests.common.report import emit, median, quantile
from loadtests.common.stack import TOKEN, Layout, Stack
from services.gateway.adapters.router import RpcRouter
from services.gateway.domain.choose import ChooseQuery
from services.gateway.domain.plan import PlaceQuery
from services.gateway.domain.turn_facts import turn_facts
from services.gateway.domain.turns import ChatRequest, Role, Sampling, SessionClaim, Turn

BASE_PORT = 18500
CALLERS, SESSIONS = 16, 500
PROMPT_TOKENS, BLOCK_TOKENS = 2048, 16
TIERS = {
    "small": [{"pool": "small", "input_usd_per_million": "0.1", "output_usd_per_million": "0.4"}],
    "large": [{"pool": "large", "input_usd_per_million": "1", "output_usd_per_million": "4"}],
}
TEXT = (
    "please compare these two ways of keeping a table of orders and say which one you would take for a shop that has "
    "many readers few writers and a nightly report then list what could go wrong in each and how one would notice it "
    "before customers do with an example in numbers for a year of growth"
)
WORDS = TEXT.split()


@dataclass
class Seen:
    """One window: latencies in seconds, requests, CPU seconds of this process and the router."""

    latencies: list[float] = field(default_factory=list)
    requests: int = 0
    here: float = 0.0
    router: float = 0.0


class Edge:
    """The gateway's side: one request is Choose and Place with everything that comes before and after on this edge."""

    def __init__(self, router: RpcRouter, seed: int) -> None:
        self._router = router
        self._random = random.Random(seed)
        self._heads = [np.random.default_rng(seed + i).integers(0, 49_000, PROMPT_TOKENS) for i in range(SESSIONS)]
        self._prompts = [head.astype("<u4").tobytes() for head in self._heads]
        self._metadata = {"x-request-id": "edge", "x-headrace-tenant": "bench"}
        self._serial = 0

    def request(self) -> tuple[int, ChatRequest]:
        """A user turn that no cache has seen, of one of the sessions."""
        self._serial += 1
        words = " ".join(self._random.choices(WORDS, k=56))[:290]
        session = self._serial % SESSIONS
        turns = (Turn(Role.SYSTEM, "You are a helpful agent of the shop."), Turn(Role.USER, f"{words} {self._serial}"))
        claim = SessionClaim(explicit=f"edge-{session}", source="header")
        return session, ChatRequest("auto", turns, sampling=Sampling(), session=claim)

    async def route(self, session: int, request: ChatRequest) -> None:
        """Choose and Place. Raises when a worker is not found: nothing else is to be measured then."""
        name = request.session.explicit
        query = ChooseQuery("edge", "bench", "auto", turn_facts(request), name)
        chosen = await self._router.choose(query, timeout=5.0, metadata=self._metadata)
        place = PlaceQuery(
            "edge", "bench", chosen.choices[0].model, "", PROMPT_TOKENS, name,
            prompt=self._prompts[session], block_tokens=BLOCK_TOKENS, cache_salt="bench-salt",
        )  # fmt: skip
        plan = await self._router.place(place, timeout=5.0, metadata=self._metadata)
        if not plan.candidates or chosen.decision is None:
            raise RuntimeError(f"not routed: {chosen} {plan}")


async def window(edge: Edge, router_pid: int, seconds: float, pause: float, *, calls: bool) -> Seen:
    """16 callers for `seconds`; each waits `pause` seconds (spread by half) between requests, 0 = as fast as it can."""
    seen = Seen()
    until = time.monotonic() + seconds

    async def caller(index: int) -> None:
        spread = random.Random(index)
        while time.monotonic() < until:
            await asyncio.sleep(pause * (0.5 + spread.random()))
            session, request = edge.request()
            began = time.perf_counter()
            if calls:
                await edge.route(session, request)
                seen.latencies.append(time.perf_counter() - began)
            seen.requests += 1

    cpu_here, cpu_router = time.process_time(), cpu_seconds([router_pid])
    await asyncio.gather(*(caller(index) for index in range(CALLERS)))
    seen.here, seen.router = time.process_time() - cpu_here, cpu_seconds([router_pid]) - cpu_router
    return seen


def summed(with_calls: Seen, without: Seen, seconds: float) -> dict[str, float]:
    """Figures of one round: microseconds of CPU per request, milliseconds of latency."""
    bare = without.here / without.requests
    here = with_calls.here / with_calls.requests - bare
    router = with_calls.router / with_calls.requests
    return {
        "requests_per_second": with_calls.requests / seconds,
        "p50_ms": 1e3 * quantile(with_calls.latencies, 0.5),
        "p99_ms": 1e3 * quantile(with_calls.latencies, 0.99),
        "cpu_gateway_us": 1e6 * here,
        "cpu_router_us": 1e6 * router,
        "cpu_us": 1e6 * (here + router),
    }


async def measure(port: int, router_pid: int, rounds: int, seconds: float, pause: float) -> dict[str, Any]:
    """Rounds of paced and unpaced windows, each beside the loop without calls."""
    channel = dial(f"127.0.0.1:{port}", "trunk", identity="gateway", token=TOKEN)
    replicated = ReplicatedChannel([channel], SystemClock(), random=random.random)
    edge = Edge(RpcRouter(replicated), seed=1)
    await window(edge, router_pid, 2.0, pause, calls=True)  # sessions get their tier and worker
    found: dict[str, list[dict[str, float]]] = {"paced": [], "closed_loop": []}
    for _ in range(rounds):
        for name, wait in (("paced", pause), ("closed_loop", 0.0)):
            without = await window(edge, router_pid, seconds / 2, wait, calls=False)
            found[name].append(summed(await window(edge, router_pid, seconds, wait, calls=True), without, seconds))
    await replicated.close()
    return {
        name: {key: median([each[key] for each in seen]) for key in seen[0]} | {"rounds": seen}
        for name, seen in found.items()
    }


def hashing_us() -> float:
    """Microseconds for the hashes of one prompt, alone."""
    prompt = np.arange(PROMPT_TOKENS, dtype="<u4").tobytes()
    began = time.process_time()
    for _ in range(2000):
        block_hashes(prompt, BLOCK_TOKENS, "bench-salt")
    return (time.process_time() - began) / 2000 * 1e6


def main() -> None:
    """`python -m loadtests.router_edge`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--pause-ms", type=float, default=40.0, help="what a caller waits between requests")
    parser.add_argument("--out")
    args = parser.parse_args()
    os.sched_setaffinity(0, {1})
    layout = Layout(
        base_port=BASE_PORT,
        workers=2,
        gateways=0,
        worker_core="1",
        router_args=["--tiers", json.dumps(TIERS)],
        worker_args=["--simulated.block_tokens", str(BLOCK_TOKENS)],
    )
    with Stack(layout) as stack:
        port, pid = BASE_PORT + 2, stack.processes["router"].pid
        result = uvloop.run(wait_and_measure(port, pid, args.rounds, args.seconds, args.pause_ms / 1000))
    method = {"callers": CALLERS, "sessions": SESSIONS, "prompt_tokens": PROMPT_TOKENS, "pause_ms": args.pause_ms}
    emit("router_edge", {"method": method, "hashing_us": hashing_us(), **result}, args.out)


async def wait_and_measure(port: int, pid: int, rounds: int, seconds: float, pause: float) -> dict[str, Any]:
    """Measures once the router knows both pools."""
    channel = dial(f"127.0.0.1:{port}", "trunk", identity="gateway", token=TOKEN)
    edge = Edge(RpcRouter(ReplicatedChannel([channel], SystemClock(), random=random.random)), seed=0)
    until = time.monotonic() + 60
    while True:
        try:
            await edge.route(*edge.request())
            break
        except Exception:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.1)
    await channel.close()
    return await measure(port, pid, rounds, seconds, pause)


if __name__ == "__main__":
    main()
