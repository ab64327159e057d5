"""Upstreams that fail, die, stop and crawl under load: what the gateway still sends them, and how soon it knows.

`providers`: three endpoints behind three workers, all healthy, then all failing (500, then 429 with Retry-After), then
healthy again. Attempts are counted by the endpoints themselves. `killed`: three workers, all killed -9 and started
again. `stopped`: one of three workers gets SIGSTOP with its engine, and SIGCONT later. `slow`: one of three engines
runs a tenth of the time, the others as ever; then all three do, which must cost none of them its place.

Each is run with breakers and without (their settings raised out of reach), in turns, over the same open loop of calls.
Attempts and requests are counted from three seconds after the failure. The first word of a breaker is read from the
gateway's metrics, thirty times a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from loadtests.common.procs import children, cpu_seconds
from loadtests.common.report import emit, median, quantile
from loadtests.common.stack import Layout, Stack
from loadtests.failing.load import Generator, Metrics, Shot, dumps, summary
from loadtests.failing.provider import Mood, Provider

WORKERS = 3
VICTIM = "inference-1"
OUT_OF_REACH = [
    *("--breakers.failures_in_a_row", "1000", "--breakers.calls_min", "100000"),
    *("--breakers.suspect_seconds", "60", "--breakers.stuck_seconds", "600", "--breakers.slow_factor", "1000"),
]
SETTLE_SECONDS = 3.0


@dataclass(frozen=True)
class Setup:
    """How long and how hard; `breakers` False is what it is compared with."""

    rate: float
    healthy: float
    failing: float
    base_port: int
    breakers: bool = True

    def layout(self, **changes: Any) -> Layout:
        """A stack whose gateway has a metrics port."""
        args = ["--metrics.port", str(self.metrics_port), *([] if self.breakers else OUT_OF_REACH)]
        cores = {"gateway_core": "0", "inner_core": "0,1", "worker_core": "1"}
        return Layout(base_port=self.base_port, workers=WORKERS, gateway_args=args, **cores, **changes)

    @property
    def metrics_port(self) -> int:
        """Of the gateway."""
        return self.base_port + 50


@asynccontextmanager
async def running(layout: Layout) -> Any:
    """The stack, started and ended beside the event loop."""
    stack = Stack(layout)
    try:
        yield await asyncio.to_thread(stack.__enter__)
    finally:
        await asyncio.to_thread(stack.__exit__)


async def settled(generator: Generator, since: float, seconds: float = 20.0) -> float:
    """Seconds from `since` to the first call after which a second's worth were all answered; NaN = it did not come."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.sleep(0.5)
        now = time.monotonic() - 1.0
        recent = generator.between(now - 1.0, now)
        if recent and all(shot.good for shot in recent):
            bad = [shot.due for shot in generator.between(since, now) if not shot.good]
            return max(bad, default=since) - since
    return float("nan")


def tries(metrics: Metrics, generator: Generator) -> float:
    """Attempts so far as the gateway counts them: those that ended badly, and one per answer."""
    bad = metrics.total("headrace_gateway_attempts_ended_total")
    return bad + sum(shot.good for shot in generator.shots)


async def _all_fail(
    setup: Setup, generator: Generator, gateway: list[int], fail: Callable[[], Any], mend: Callable[[], Any],
    asked: Callable[[], float] | None,
) -> dict[str, Any]:  # fmt: skip
    """Healthy, failing, mended; attempts are counted between three seconds after the failure and its end."""
    metrics = Metrics(setup.metrics_port)
    generator.start()
    await asyncio.sleep(setup.healthy)
    began = time.monotonic()
    await asyncio.to_thread(fail)
    await asyncio.sleep(SETTLE_SECONDS)
    counted = time.monotonic()
    before = await asyncio.to_thread(tries, metrics, generator), asked() if asked else 0.0
    cpu = cpu_seconds(gateway)
    await asyncio.sleep(setup.failing)
    ended = time.monotonic()
    cpu = cpu_seconds(gateway) - cpu
    after = await asyncio.to_thread(tries, metrics, generator), asked() if asked else 0.0
    await asyncio.to_thread(mend)
    back = await settled(generator, ended)
    await generator.stop()
    shots = generator.between(counted, ended)
    found = {
        "healthy": summary(generator.between(0.0, began)),
        "failing": summary(shots),
        "attempts_seen_by_gateway": after[0] - before[0],
        "attempts_per_request": (after[0] - before[0]) / max(1, len(shots)),
        "recovered_seconds": back,
        # Of what callers wait, the rest is the machine's and the generator's, which share its two cores.
        "gateway_cpu_ms_per_request": 1000 * cpu / max(1, len(shots)),
    }
    if asked:
        found["attempts_seen_by_providers"] = after[1] - before[1]
        found["attempts_per_request"] = (after[1] - before[1]) / max(1, len(shots))
    return found


async def providers(setup: Setup, mood: Mood) -> dict[str, Any]:
    """All endpoints fail in the same way."""
    async with AsyncExitStack() as opened:
        endpoints = [Provider() for _ in range(WORKERS)]
        ports = [await endpoint.start() for endpoint in endpoints]
        for endpoint in endpoints:
            opened.push_async_callback(endpoint.close)
        own = [["--upstream.url", f"http://127.0.0.1:{port}/v1"] for port in ports]
        stack = await opened.enter_async_context(running(setup.layout(engine="upstream", per_worker_args=own)))
        generator = Generator(stack, setup.rate, tokens=8, streamed=False)

        def all_are(state: Mood) -> None:
            for endpoint in endpoints:
                endpoint.mood = state

        return await _all_fail(
            setup, generator, stack.pids("gateway"), lambda: all_are(mood), lambda: all_are("well"),
            lambda: float(sum(endpoint.asked for endpoint in endpoints)),
        )  # fmt: skip


def _simulated(setup: Setup) -> Layout:
    pace = ["--simulated.ttft_ms", "20", "--simulated.inter_token_ms", "20", "--simulated.running_max", "512"]
    return setup.layout(worker_args=pace)


async def killed(setup: Setup) -> dict[str, Any]:
    """All workers get SIGKILL, and are started again."""
    async with running(_simulated(setup)) as stack:
        names = [f"inference-{index}" for index in range(WORKERS)]

        def kill() -> None:
            for name in names:
                stack.processes[name].popen.kill()
            for name in names:
                stack.processes[name].popen.wait(10)

        def start() -> None:
            for index in range(WORKERS):
                stack.start_worker(index)

        generator = Generator(stack, setup.rate, tokens=4, streamed=False)
        found = await _all_fail(setup, generator, stack.pids("gateway"), kill, start, None)
        return {**found, "recovered_seconds_with_the_start_of_processes": found.pop("recovered_seconds")}


async def _opened(metrics: Metrics, since: float, seconds: float, worker: str = "") -> float:
    """Seconds from `since` to the first open breaker (of `worker`); NaN = none within `seconds`."""
    while time.monotonic() - since < seconds:
        found = await asyncio.to_thread(metrics.open_breakers)
        if worker in found or (not worker and found):
            return time.monotonic() - since
        await asyncio.sleep(0.03)
    return float("nan")


def _told(shots: list[Shot], since: float) -> dict[str, Any]:
    """What callers saw of one bad worker: calls that were due once it was bad, and what waited longest."""
    late = [1000 * (shot.over - shot.due) for shot in shots]
    touched = [shot.due - since for shot in shots if shot.meta.get("worker") == VICTIM or shot.meta["attempts"] > 1]
    return {
        "calls": len(shots),
        "answered": sum(shot.good for shot in shots),
        "call_ms": {"p50": quantile(late, 0.5), "p99": quantile(late, 0.99), "max": max(late, default=0.0)},
        "last_call_that_touched_it_seconds": max(touched, default=0.0),
    }


async def _one_is_bad(
    setup: Setup, stack: Stack, bad: Callable[[], Any], good: Callable[[], Any], tokens: int
) -> dict[str, Any]:
    generator, metrics = Generator(stack, setup.rate, tokens=tokens, streamed=False), Metrics(setup.metrics_port)
    generator.start()
    await asyncio.sleep(setup.healthy)
    since = time.monotonic()
    bad()
    isolated = await _opened(metrics, since, setup.failing, VICTIM)
    transitions = await asyncio.to_thread(metrics.transitions)
    await asyncio.sleep(max(0.0, setup.failing - (time.monotonic() - since)))
    mended = time.monotonic()
    good()
    back = await _answers(generator, mended)
    await generator.stop()
    shots = [shot for shot in generator.between(since, mended - 1.0) if shot.meta]
    lost = len(generator.between(since, mended - 1.0)) - len(shots)
    return {
        "isolated_seconds": isolated,
        "used_again_seconds": back,
        "not_answered": lost,
        "transitions": transitions,
        "told": _told(shots, since),
    }


async def _answers(generator: Generator, since: float, seconds: float = 40.0) -> float:
    """Seconds from `since` until the victim gives an answer again."""
    while time.monotonic() - since < seconds:
        await asyncio.sleep(0.1)
        found = [shot for shot in generator.between(since, time.monotonic()) if shot.meta.get("worker") == VICTIM]
        if found:
            return min(shot.over for shot in found) - since
    return float("nan")


async def stopped(setup: Setup) -> dict[str, Any]:
    """One worker and its engine stand still; their connections stay."""
    async with running(_simulated(setup)) as stack:
        pid = stack.processes[VICTIM].pid
        group = [pid, *children(pid)]

        def tell(number: signal.Signals) -> None:
            for each in group:
                os.kill(each, number)

        try:
            return await _one_is_bad(
                setup, stack, lambda: tell(signal.SIGSTOP), lambda: tell(signal.SIGCONT), tokens=20
            )
        finally:
            tell(signal.SIGCONT)


class Crawl:
    """Lets processes run for a tenth of the time, from `start` to `stop`."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins."""
        self._task = asyncio.create_task(self._keep())

    def stop(self) -> None:
        """They run freely again."""
        if self._task is not None:
            self._task.cancel()
        self._tell(signal.SIGCONT)

    async def _keep(self) -> None:
        while True:
            self._tell(signal.SIGSTOP)
            await asyncio.sleep(0.36)
            self._tell(signal.SIGCONT)
            await asyncio.sleep(0.04)

    def _tell(self, number: signal.Signals) -> None:
        for pid in self._pids:
            os.kill(pid, number)


async def slow(setup: Setup) -> dict[str, Any]:
    """One engine crawls, then all of them."""
    async with running(_simulated(setup)) as stack:
        one = Crawl(children(stack.processes[VICTIM].pid))
        found = await _one_is_bad(setup, stack, one.start, one.stop, tokens=20)
        every = Crawl(stack.engine_pids())
        generator, metrics = Generator(stack, setup.rate / 2, tokens=20, streamed=False), Metrics(setup.metrics_port)
        generator.start()
        await asyncio.sleep(12.0)
        since = time.monotonic()
        every.start()
        alarm = await _opened(metrics, since, 6.0)
        every.stop()
        await generator.stop()
        return {**found, "opened_when_all_crawl": alarm == alarm}  # noqa: PLR0124 - NaN


SCENARIOS: dict[str, Callable[[Setup], Any]] = {
    "providers_500": lambda setup: providers(setup, "500"),
    "providers_429": lambda setup: providers(setup, "429"),
    "killed": killed,
    "stopped": stopped,
    "slow": slow,
}


def compare(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Rounds with and without breakers in turns; the medians of what was found, and every round."""
    rounds: dict[str, list[dict[str, Any]]] = {"breakers": [], "without": []}
    for index in range(args.rounds):
        for side in ("breakers", "without") if index % 2 == 0 else ("without", "breakers"):
            setup = Setup(args.rate, args.healthy, args.failing, args.base_port, breakers=side == "breakers")
            found = asyncio.run(SCENARIOS[name](setup))
            print(dumps({name: side, **found}), flush=True)
            rounds[side].append(found)
    keys = [key for key, value in rounds["breakers"][0].items() if isinstance(value, float)]
    medians = {side: {key: median([each[key] for each in of]) for key in keys} for side, of in rounds.items()}
    return {"medians": medians, "rounds": rounds}


def main() -> None:
    """Entry point: `python -m loadtests.failing`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rate", type=float, default=120.0)
    parser.add_argument("--healthy", type=float, default=4.0)
    parser.add_argument("--failing", type=float, default=10.0)
    parser.add_argument("--base-port", type=int, default=19300)
    parser.add_argument("--out")
    args = parser.parse_args()
    found = {name: compare(name, args) for name in args.scenarios.split(",")}
    emit("failing", {"rate": args.rate, "failing_seconds": args.failing, **json.loads(json.dumps(found))}, args.out)


if __name__ == "__main__":
    main()
