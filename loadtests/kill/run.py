"""Kills -9 a worker under running streams, again and again, and checks every answer to the last token.

`plain`: 100 plain streams on simulated workers, 20 kills; every answer must be the one of an undisturbed run, and the
gap that a client sees stays under half a second (p99). `constrained`: guided, seeded, penalised, n = 2, stop-string and
logprob streams; an answer may end with an error, none may be silently wrong. `vllm`: the same on two real engines.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from loadtests.common.client import Answer, stream
from loadtests.common.procs import children, stat, wait_for
from loadtests.common.report import emit, quantile
from loadtests.common.stack import MODEL_NAME, Layout, Stack
from loadtests.kill.kinds import KINDS, Kind, verdict

CONSTRAINED = ("guided", "seeded", "penalised", "two_choices", "stop", "logprobs")


def body_of(kind: Kind, index: int, tokens: int) -> dict[str, Any]:
    """The request of one stream: deterministic unless the kind says otherwise."""
    messages = [{"role": "user", "content": f"Stream {index}: write about the river, the mill and the wheel."}]
    base = {"model": MODEL_NAME, "messages": messages, "max_tokens": tokens, "temperature": 0}
    return {**base, **kind.fields}


def name_of(pid: int) -> str:
    """The process's name for a report."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "ended"


def runs(pid: int) -> bool:
    """Whether the process is there and holds anything."""
    try:
        return stat(pid)[0] not in "ZX"
    except OSError:
        return False


async def gone(pid: int, seconds: float) -> bool:
    """Whether the process ends within that time; one that its new parent has not reaped yet has ended."""
    until = time.monotonic() + seconds
    while runs(pid):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.02)
    return True


class Campaign:
    """Streams of some kinds on one stack; remembers the undisturbed answers."""

    def __init__(self, stack: Stack, kinds: list[Kind], streams: int, tokens: int, rng: random.Random) -> None:
        self.stack, self.rng, self.tokens = stack, rng, tokens
        self.plan = [(kinds[i % len(kinds)], i) for i in range(streams)]
        self.expected: dict[int, str] = {}
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.gaps: list[float] = []
        self.resumed = 0
        self.errors: Counter[str] = Counter()

    async def all_streams(self, run: int) -> list[Answer]:
        """Every stream at once, each in a session of its own."""

        async def one(kind: Kind, index: int) -> Answer:
            headers = {"authorization": f"Bearer {self.stack.key}", "x-session-id": f"kill-{run}-{index}"}
            return await stream(self.stack.rest_port, body_of(kind, index, self.tokens), headers)

        return list(await asyncio.gather(*(one(kind, index) for kind, index in self.plan)))

    def learn(self) -> None:
        """An undisturbed run: the only right answers of the kinds that are repeatable."""
        for (kind, index), answer in zip(self.plan, asyncio.run(self.all_streams(0)), strict=True):
            fault = verdict(kind, answer, body_of(kind, index, self.tokens), None)
            if fault != "right":
                raise RuntimeError(f"undisturbed {kind.name} stream {index}: {fault} {answer.error}")
            if kind.repeatable:
                self.expected[index] = answer.text()

    def kill_one(self, run: int, after: float) -> None:
        """All streams, a worker killed `after` seconds into them, every answer judged, the worker started again."""
        victim = self.rng.randrange(self.stack.layout.workers)
        process = self.stack.processes[f"inference-{victim}"]

        async def scenario() -> list[Answer]:
            streams = asyncio.create_task(self.all_streams(run))
            await asyncio.sleep(after)
            below = {pid: name_of(pid) for pid in children(process.pid)}
            os.kill(process.pid, signal.SIGKILL)
            leaked.extend([f"{name} ({pid})" for pid, name in below.items() if not await gone(pid, 2.0)])
            return await streams

        leaked: list[str] = []
        answers = asyncio.run(scenario())
        if leaked:
            self.faults.append(f"run {run}: engine processes {leaked} outlived their worker by two seconds")
        process.popen.wait(10)
        self.judge(run, answers)
        self.stack.start_worker(victim)
        wait_for(lambda: self.live(victim), 180, f"worker {victim} back")

    def live(self, index: int) -> bool:
        """The worker's port answers health checks with SERVING."""
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        with grpc.insecure_channel(f"127.0.0.1:{self.stack.worker_port(index)}") as channel:
            try:
                reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
            except grpc.RpcError:
                return False
            return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    def judge(self, run: int, answers: list[Answer]) -> None:
        """Counts verdicts per kind, gaps of resumed streams."""
        for (kind, index), answer in zip(self.plan, answers, strict=True):
            found = verdict(kind, answer, body_of(kind, index, self.tokens), self.expected.get(index))
            self.counts[f"{kind.name}: {found.split(':')[0]}"] += 1
            if answer.error:
                self.errors[f"{kind.name}: {answer.error['code']}: {answer.error['message'][:160]}"] += 1
            if found.startswith("wrong"):
                self.faults.append(f"run {run} {kind.name} {index}: {found}")
            if answer.usage.get("headrace", {}).get("attempts", 1) > 1:
                self.resumed += 1
                times = answer.content_times()
                if len(times) > 1:
                    self.gaps.append(max(b - a for a, b in itertools.pairwise(times)))

    def summary(self) -> dict[str, Any]:
        """What the campaign found."""
        gaps = {name: 1e3 * quantile(self.gaps, q) for name, q in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}
        return {
            "verdicts": dict(self.counts),
            "resumed": self.resumed,
            "errors": dict(self.errors.most_common(10)),
            "gap_ms": gaps,
            "wrong": len(self.faults),
            "faults": self.faults[:20],
        }


def simulated(args: list[str] | None = None) -> Layout:
    """Three simulated workers at 20 ms per token."""
    pace = ["--simulated.ttft_ms", "20", "--simulated.inter_token_ms", "20", "--simulated.running_max", "256"]
    return Layout(workers=3, gateway_core="0", inner_core="0,1", worker_core="1", worker_args=[*pace, *(args or [])])


def vllm() -> Layout:
    """Two real engines, a core each."""
    return Layout(
        workers=2,
        engine="vllm",
        gateway_core="0,1",
        inner_core="0,1",
        worker_core="0,1",
        worker_args=["--vllm.window_tokens", "2048", "--vllm.max_num_seqs", "16"],
        per_worker_args=[["--vllm.cpu_cores", "0"], ["--vllm.cpu_cores", "1"]],
    )


def campaign(name: str, kills: int, seed: int) -> dict[str, Any]:
    """Runs one campaign from a fresh stack."""
    rng = random.Random(seed)
    if name == "plain":
        layout, kinds, streams, tokens, last = simulated(), [KINDS["plain"]], 100, 150, 2.5
    elif name == "constrained":
        layout, kinds, streams, tokens, last = simulated(), [KINDS[k] for k in CONSTRAINED], 96, 120, 2.0
    else:
        layout, kinds, streams, tokens, last = vllm(), [KINDS[k] for k in ("plain", *CONSTRAINED)], 8, 60, 3.0
    with Stack(layout) as stack:
        runner = Campaign(stack, kinds, streams, tokens, rng)
        if name == "vllm":  # float ties and batch sizes differ between runs: no answer is the only right one
            runner.judge(0, asyncio.run(runner.all_streams(0)))
            runner.counts.clear()
        else:
            runner.learn()
        for run in range(1, kills + 1):
            runner.kill_one(run, rng.uniform(0.15, last))
        return {"kills": kills, "streams": streams, **runner.summary()}


def main() -> None:
    """Entry point: `python -m loadtests.kill.run --campaigns plain,constrained --kills 20`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--campaigns", default="plain,constrained")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args()
    result = {name: campaign(name, args.kills, args.seed) for name in args.campaigns.split(",")}
    emit("kill", {"seed": args.seed, **result}, args.out)
    raise SystemExit(any(found["wrong"] for found in result.values()))


if __name__ == "__main__":
    main()
