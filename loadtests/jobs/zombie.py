"""A consumer that is stopped past its session timeout and then goes on: whether anything that it does late counts.

Two jobs processes over real Apache Kafka; jobs whose answers take seconds. One process is stopped (SIGSTOP) while it
runs some, until its lease and its session at the broker are over and the other one has begun and ended its parts; then
it goes on (SIGCONT) and tries to write what it had. Counted: writes that the store refused, by the process's own
metric; and, as in the campaign, that every job has one result, one charge and one end.

    python -m loadtests.jobs.zombie --rounds 3
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import time
import urllib.request
from typing import Any

from libs.valkey import Valkey, ValkeySettings
from loadtests.common.accounts import new_account
from loadtests.common.report import emit
from loadtests.common.stack import Layout, Stack
from loadtests.jobs.campaign import TENANT, drained, layout
from loadtests.jobs.client_log import Submitters
from loadtests.jobs.judge import judge
from tools.kafka_node import KafkaNode, fetch

LATE_METRIC = "headrace_jobs_late_total"
SLOW = {"ttft_ms": 300, "inter_token_ms": 400, "running_max": 64}
SESSION_MS = 6_000


def zombie_layout(base_port: int, brokers: tuple[str, ...]) -> Layout:
    """As the campaign's, with answers of some three seconds."""
    made = layout(base_port, brokers)
    made.worker_args = [part for name, value in SLOW.items() for part in (f"--simulated.{name}", str(value))]
    made.jobs_args = [*made.jobs_args, "--consumer.session_timeout_ms", str(SESSION_MS)]
    return made


def metric(port: int, name: str) -> float:
    """Sum of a counter over its labels, from the Prometheus endpoint at `port`."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


async def one_round(stack: Stack, clients: Submitters, first: int, jobs: int) -> dict[str, Any]:
    """Stops the first jobs process in the middle of its work, and lets it go on when it is too late."""
    name, other = stack.jobs_name(0), stack.jobs_name(1)
    submitting = asyncio.create_task(clients.submit(range(first, first + jobs)))
    await asyncio.sleep(2.0)
    (pid,) = stack.pids(name)
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        # Its session, its lease, and the other one's time to do the work.
        await asyncio.sleep(SESSION_MS / 1000 * 2 + 6)
    finally:
        os.kill(pid, signal.SIGCONT)
    await submitting
    stopped = time.monotonic() - began
    await asyncio.sleep(5.0)
    late = {each: metric(stack.jobs_metrics_port(at), LATE_METRIC) for at, each in enumerate((name, other))}
    return {"stopped_seconds": round(stopped, 1), "late_writes_refused_so_far": late}


async def run(stack: Stack, args: argparse.Namespace) -> dict[str, Any]:
    """All rounds on one stack."""
    account = await asyncio.to_thread(new_account, stack.url, stack.key, TENANT, limits={}, keep_records=False)
    valkey = Valkey(ValkeySettings(url=stack.valkey_url, op_timeout_ms=5000))
    clients = Submitters(stack.rest_ports, account.secret, random.Random(args.seed), "zombie", parallel=8)
    try:
        await clients.learn()
        rounds = [await one_round(stack, clients, at * args.jobs, args.jobs) for at in range(args.rounds)]
        after = await drained(valkey, 120.0)
        verdict = await judge(clients, valkey, TENANT, args.kafka)
    finally:
        await valkey.close()
    late = sum(rounds[-1]["late_writes_refused_so_far"].values())
    return {
        "rounds": rounds,
        "late_writes_refused": late,
        "drained_seconds": round(after, 1),
        **verdict.document(),
    }


def main() -> int:
    """Returns the exit status: 1 when anything was violated, or no write came late."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=60, help="per round")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--base-port", type=int, default=19300)
    parser.add_argument("--out")
    args = parser.parse_args()
    fetch()
    with KafkaNode() as node:
        args.kafka = node.broker.settings(connect_timeout_ms=3_000, send_timeout_ms=10_000)
        with Stack(zombie_layout(args.base_port, args.kafka.brokers)) as stack:
            result = asyncio.run(run(stack, args))
    emit("jobs_zombie", result, args.out)
    return 1 if result["violations"] or not result["late_writes_refused"] else 0


if __name__ == "__main__":
    sys.exit(main())
