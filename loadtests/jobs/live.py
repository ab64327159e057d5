"""Live calls beside a full queue of jobs: what jobs do to the time to the first token.

Four workers with simulated engines take `--slots` calls each. Live callers come open loop, Poisson, at half of what the
workers can do, over one gateway; every answer is a stream whose first content is timed from the moment the call was
due. Phases alternate on one stack: no job there, then more jobs waiting than can be done in the phase, and again. After
a full phase the job is cancelled and the workers are waited for. The figure is the p99 of all full phases against that
of all empty ones; beside it stands how many requests of jobs were answered meanwhile: a gate that starts nothing would
delay nobody.

    python -m loadtests.jobs.live --rounds 3 --seconds 40
    python -m loadtests.jobs.live --no-gate      # the gate switched off: what it is there for
    python -m loadtests.jobs.live --engine vllm  # two vLLM workers on a core each, at half of `--capacity`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from libs.testing.brokers import embedded_broker
from loadtests.common.accounts import new_account
from loadtests.common.client import Answer, call, stream
from loadtests.common.report import emit, quantile
from loadtests.common.stack import MODEL_NAME, Layout, Stack

TTFT_MS, TOKEN_MS, TOKENS, JOB_TOKENS = 60.0, 15.0, 24, 24
WORKERS = 4
VLLM_WORKERS = 2
NO_GATE = ("--gate.headroom", "0", "--gate.share", "1", "--gate.share_max", "1", "--gate.wait_ms_max", "60000")
STEPS_PER_JOB = 1_000


@dataclass
class Phase:
    """TTFT in seconds of every live call; those that failed; requests of jobs that ended meanwhile."""

    full: bool
    ttft: list[float] = field(default_factory=list)
    failed: int = 0
    jobs_answered: int = 0
    seconds: float = 0.0


def layout(base_port: int, slots: int, brokers: Sequence[str], jobs_args: Sequence[str], engine: str) -> Layout:
    """Simulated: gateway on core 0, workers on core 1. vLLM: a worker on each core, everything else on both."""
    speed = {"ttft_ms": TTFT_MS, "inter_token_ms": TOKEN_MS, "running_max": slots}
    simulated = [part for name, value in speed.items() for part in (f"--simulated.{name}", str(value))]
    return Layout(
        base_port=base_port,
        workers=WORKERS if engine == "simulated" else VLLM_WORKERS,
        jobs=1,
        gateway_core="0" if engine == "simulated" else "0,1",
        inner_core="0,1",
        worker_core="1" if engine == "simulated" else "0,1",
        engine=engine,
        worker_args=simulated if engine == "simulated" else ["--vllm.max_num_seqs", str(slots)],
        per_worker_args=[["--vllm.cpu_cores", str(core)] for core in range(VLLM_WORKERS)] if engine == "vllm" else [],
        jobs_args=list(jobs_args),
        kafka_brokers=tuple(brokers),
        op_timeout_ms=1000,
    )


def body(text: str, tokens: int) -> dict[str, Any]:
    """A call that answers with so many tokens."""
    length = {"max_tokens": tokens, "min_tokens": tokens, "ignore_eos": True}
    return {"model": MODEL_NAME, "messages": [{"role": "user", "content": text}], **length}


class Live:
    """Live callers of one tenant, jobs of another."""

    def __init__(self, port: int, live_key: str, jobs_key: str, rng: random.Random) -> None:
        self._port, self._rng = port, rng
        self._live = {"authorization": f"Bearer {live_key}"}
        self._jobs = {"authorization": f"Bearer {jobs_key}"}

    async def phase(self, *, rate: float, seconds: float, full: bool, jobs: int) -> Phase:
        """One phase; with `full`, so many jobs of STEPS_PER_JOB requests are there from before its begin to its end."""
        phase = Phase(full)
        ids = [await self._submit() for _ in range(jobs)] if full else []
        if ids:
            await asyncio.sleep(3.0)  # until jobs run as many requests as they will
        before, began = await self._answered(ids), time.monotonic()
        await self._callers(phase, rate, seconds)
        phase.seconds = time.monotonic() - began
        phase.jobs_answered = await self._answered(ids) - before
        for job in ids:
            await call(self._port, "POST", f"/v1/jobs/{job}/cancel", self._jobs)
        await asyncio.sleep(3.0)  # what was begun is finished
        return phase

    async def _callers(self, phase: Phase, rate: float, seconds: float) -> None:
        calls, at, end = set[asyncio.Task[None]](), time.monotonic(), time.monotonic() + seconds
        while at < end:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            task = asyncio.create_task(self._call(phase, at))
            calls.add(task)
            task.add_done_callback(calls.discard)
            at += self._rng.expovariate(rate)
        await asyncio.gather(*calls)

    async def _call(self, phase: Phase, due: float) -> None:
        text = f"Question {self._rng.randrange(1 << 30)}: how does a mill wheel turn?"
        try:
            answer: Answer = await stream(self._port, body(text, TOKENS), self._live)
        except OSError:
            phase.failed += 1
            return
        times = answer.content_times()
        if not times or answer.error:
            phase.failed += 1
            return
        phase.ttft.append(times[0] - due)

    async def _submit(self) -> str:
        requests = [body(f"Job note {self._rng.randrange(1 << 30)}.", JOB_TOKENS) for _ in range(STEPS_PER_JOB)]
        answer = await call(self._port, "POST", "/v1/jobs", self._jobs, {"requests": requests})
        if answer.status != 202:
            raise RuntimeError(f"a job was answered with {answer.status}: {answer.body[:500]!r}")
        return str(_json(answer)["id"])

    async def _answered(self, ids: Sequence[str]) -> int:
        found = 0
        for job in ids:
            answer = await call(self._port, "GET", f"/v1/jobs/{job}?results=0", self._jobs)
            found += int(_json(answer)["requests"]["succeeded"])
        return found


def _json(answer: Answer) -> dict[str, Any]:
    return dict(json.loads(answer.body))


def figures(phases: Sequence[Phase]) -> dict[str, Any]:
    """TTFT in milliseconds over these phases."""
    ttft = [1000 * value for phase in phases for value in phase.ttft]
    seconds = sum(phase.seconds for phase in phases)
    return {
        "calls": len(ttft),
        "failed": sum(phase.failed for phase in phases),
        **{f"p{int(q * 100)}_ms": round(quantile(ttft, q), 1) for q in (0.5, 0.9, 0.99)},
        "p99_ms_of_each": [round(1000 * quantile(phase.ttft, 0.99), 1) for phase in phases],
        "jobs_answered_per_s": round(sum(phase.jobs_answered for phase in phases) / max(seconds, 1e-9), 2),
    }


async def measure(stack: Stack, args: argparse.Namespace) -> dict[str, Any]:
    """All rounds on one stack."""
    accounts = [new_account(stack.url, stack.key, tenant, limits={}) for tenant in ("live", "jobs")]
    capacity = WORKERS * args.slots / ((TTFT_MS + TOKENS * TOKEN_MS) / 1000)
    if args.engine == "vllm":
        capacity = args.capacity
    rate = args.load * capacity
    live = Live(stack.rest_port, accounts[0].secret, accounts[1].secret, random.Random(args.seed))
    await live.phase(rate=rate, seconds=8.0, full=False, jobs=0)  # warm-up
    phases = [
        await live.phase(rate=rate, seconds=args.seconds, full=full, jobs=args.jobs)
        for _ in range(args.rounds)
        for full in (False, True)
    ]
    empty = figures([phase for phase in phases if not phase.full])
    full = figures([phase for phase in phases if phase.full])
    idle = capacity - rate
    return {
        "capacity_per_s": round(capacity, 1),
        "live_per_s": round(rate, 1),
        "empty": empty,
        "full": full,
        "p99_ratio": round(full["p99_ms"] / empty["p99_ms"], 3),
        "p50_ratio": round(full["p50_ms"] / empty["p50_ms"], 3),
        "idle_capacity_used_share": round(full["jobs_answered_per_s"] / idle, 3),
    }


def main() -> None:
    """Prints and keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--slots", type=int, default=8, help="calls that a worker runs at once")
    parser.add_argument("--load", type=float, default=0.5, help="live load as a share of what the workers can do")
    parser.add_argument("--jobs", type=int, default=8, help=f"jobs of {STEPS_PER_JOB} requests each in a full phase")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-gate", action="store_true")
    parser.add_argument("--engine", choices=("simulated", "vllm"), default="simulated")
    parser.add_argument("--capacity", type=float, default=8.0, help="calls a second that two vLLM workers can answer")
    parser.add_argument("--base-port", type=int, default=19200)
    parser.add_argument("--out")
    args = parser.parse_args()
    jobs_args = NO_GATE if args.no_gate else ()
    with embedded_broker() as broker:
        brokers = broker.settings().brokers
        with Stack(layout(args.base_port, args.slots, brokers, jobs_args, args.engine)) as stack:
            result = asyncio.run(measure(stack, args))
    name = "_".join(["jobs_live", *(["vllm"] if args.engine == "vllm" else []), *(["no_gate"] if args.no_gate else [])])
    emit(name, result, args.out)


if __name__ == "__main__":
    main()
