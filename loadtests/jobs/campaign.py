"""Jobs by the thousand while processes and brokers are killed: whether every promise is kept once.

Three Kafka nodes (replication 3, two in sync, acks=all), two gateways, two workers with simulated engines and two jobs
processes run on this machine. Clients submit jobs of one request each, with an Idempotency-Key, and write down every
202; meanwhile consumers, gateways, workers and brokers are killed with SIGKILL at random moments, spread over the whole
work, and started again. When all is over the clients' log is held against the platform: every job that was promised
has succeeded with the answer that a live call gets, over the API; its end is in the finished topic once; the tenant has
paid what the results cost, to the nano-dollar, in one charge per job, and nothing is held or reserved any more.

    python -m loadtests.jobs.campaign                                   # 100,000 jobs, 200 kills, 20 of a broker
    python -m loadtests.jobs.campaign --jobs 2000 --kills 10 --broker-kills 1

Ends with status 1 when anything was violated.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from typing import Any

from libs.kafka import KafkaSettings
from libs.valkey import Valkey, ValkeySettings
from loadtests.common.accounts import new_account
from loadtests.common.procs import cpu_seconds
from loadtests.common.report import emit
from loadtests.common.stack import Layout, Stack
from loadtests.jobs.chaos import Chaos
from loadtests.jobs.client_log import Submitters
from loadtests.jobs.judge import Verdict, judge, read_charges
from loadtests.jobs.topics import REQUESTED, caught_up, replay
from services.gateway.adapters.ledger.library import prefix_of
from services.gateway.adapters.ledger.spend import ValkeySpend
from services.jobs.adapters.store.client import ValkeyJobs
from services.jobs.usecases.state_hash import state_hash
from tools.kafka_node import KafkaCluster, fetch

TENANT = "campaign"
ENGINE = {"ttft_ms": 5, "inter_token_ms": 2, "running_max": 64, "waiting_max": 512}
# Leases short enough for a campaign; their ratios are those of the defaults.
GATEWAY = (
    *("--ledger.lease_seconds", "4", "--idempotency.lease_seconds", "2", "--ledger.grace_seconds", "2"),
    # The campaign's clients are one key; limits are not what is tested.
    *("--queue.wait_seconds_max", "5"),
)
JOBS = (
    *("--attempts.lease_seconds", "6", "--agenda.lease_seconds", "3", "--kafka.durable", "true"),
    *("--letters.retry_seconds", "[0.5, 2, 5]"),
)
DRAIN_SECONDS = 3600.0
SAY_SECONDS = 10.0
# Settles, events and releases that follow the last end.
SETTLE_SECONDS = 5.0
GROUP = "headrace-jobs"


def layout(base_port: int, brokers: tuple[str, ...]) -> Layout:
    """Everything on both cores."""
    return Layout(
        base_port=base_port,
        workers=2,
        gateways=2,
        jobs=2,
        gateway_core="0,1",
        inner_core="0,1",
        worker_core="0,1",
        worker_args=[part for name, value in ENGINE.items() for part in (f"--simulated.{name}", str(value))],
        gateway_args=list(GATEWAY),
        jobs_args=list(JOBS),
        kafka_brokers=brokers,
        op_timeout_ms=500,
    )


class Progress:
    """How far the work is. Submissions count half, charges (one comes of every answer) the other half."""

    def __init__(self, clients: Submitters, total: int) -> None:
        self._clients, self._total = clients, total
        self.charged = 0

    def share(self) -> float:
        """0 to 1."""
        return min(1.0, (len(self._clients.log.promises) + self.charged) / (2 * self._total))

    async def follow(self, valkey: Valkey) -> None:
        """Counts the tenant's charges until cancelled, and says how it goes every ten seconds."""
        told = time.monotonic()
        while True:
            self.charged = int(await valkey.command("XLEN", f"{prefix_of(TENANT)}:outbox"))
            if time.monotonic() - told >= SAY_SECONDS:
                told = time.monotonic()
                print(
                    f"submitted {len(self._clients.log.promises)}, charged {self.charged}", file=sys.stderr, flush=True
                )
            await asyncio.sleep(0.5)


async def drained(valkey: Valkey, seconds: float) -> float:
    """Waits until nothing of the tenant is held or reserved, which the end of its last job brings; how long that took.

    Returns after `seconds` in any case: what has not ended by then counts as lost.
    """
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        (scope,) = await ValkeySpend(valkey).of_scopes(TENANT, ["t"])
        if scope.held_nanodollars == 0:
            break
        await asyncio.sleep(0.5)
    await asyncio.sleep(SETTLE_SECONDS)
    return time.monotonic() - began


async def replays(valkey: Valkey, kafka: KafkaSettings, times: int) -> dict[str, Any]:
    """Says the whole requested topic again, so many times, to the consumers that run; digests of all jobs' states.

    Equal digests mean that nothing changed; equal charges, that nobody paid for it.
    """
    jobs = ValkeyJobs(valkey)
    before = len(await read_charges(valkey, TENANT))
    hashes, said, seconds = [await state_hash(jobs, TENANT)], 0, list[float]()
    for _ in range(times):
        began = time.monotonic()
        said += await replay(kafka, REQUESTED)
        await caught_up(kafka, [REQUESTED], GROUP, DRAIN_SECONDS)
        seconds.append(round(time.monotonic() - began, 1))
        hashes.append(await state_hash(jobs, TENANT))
    after = len(await read_charges(valkey, TENANT))
    return {
        "replayed_messages": said,
        "replay_seconds": seconds,
        "state_hashes": [each[:16] for each in hashes],
        "replays_changed": len(set(hashes)) - 1,
        "charges_by_replays": after - before,
    }


async def run(stack: Stack, cluster: KafkaCluster, args: argparse.Namespace) -> tuple[Verdict, dict[str, Any]]:
    """One campaign on a stack that stands."""
    rng = random.Random(args.seed)
    account = await asyncio.to_thread(new_account, stack.url, stack.key, TENANT, limits={}, keep_records=False)
    valkey = Valkey(ValkeySettings(url=stack.valkey_url, op_timeout_ms=5000))
    clients = Submitters(stack.rest_ports, account.secret, rng, f"seed-{args.seed}", parallel=args.parallel)
    await clients.learn()
    chaos, progress = Chaos(stack, cluster, rng), Progress(clients, args.jobs)
    following = asyncio.create_task(progress.follow(valkey))
    striking = asyncio.create_task(chaos.strike(args.kills, args.broker_kills, progress.share))
    began = time.monotonic()
    try:
        await clients.submit(range(args.jobs), rate=args.rate)
        submitted = time.monotonic() - began
        draining = asyncio.create_task(drained(valkey, args.drain_seconds))
        await asyncio.wait({striking, draining}, return_when=asyncio.ALL_COMPLETED)
        striking.result()
        after = draining.result()
        seconds = time.monotonic() - began
        used = parts_cpu(stack)
        verdict = await judge(clients, valkey, TENANT, cluster.settings())
        again = await replays(valkey, cluster.settings(), args.replays) if args.replays else {}
    finally:
        following.cancel()
        striking.cancel()
        await asyncio.gather(following, striking, return_exceptions=True)
        await valkey.close()
    facts = {
        "jobs": args.jobs,
        "seed": args.seed,
        "killed": dict(chaos.killed),
        "tries": dict(clients.log.tries),
        "submitted_seconds": round(submitted, 1),
        "drained_seconds_after": round(after, 1),
        "seconds": round(seconds, 1),
        "jobs_per_second": round(args.jobs / seconds, 1),
        # Of those that were not killed since.
        "cpu_ms_per_job": {name: round(1000 * value / args.jobs, 2) for name, value in used.items()},
        **again,
    }
    return verdict, facts


def parts_cpu(stack: Stack) -> dict[str, float]:
    """CPU seconds of the running processes by kind, since their start."""
    kinds: dict[str, float] = {}
    for name, process in stack.processes.items():
        kind = name.partition("-")[0]
        kinds[kind] = kinds.get(kind, 0.0) + cpu_seconds([process.pid])
    return kinds


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--broker-kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parallel", type=int, default=12, help="submissions at once")
    parser.add_argument("--rate", type=float, default=0.0, help="submissions a second at most; 0 = as they are taken")
    parser.add_argument("--drain-seconds", type=float, default=DRAIN_SECONDS)
    parser.add_argument("--replays", type=int, default=0, help="how often the requested topic is said again at the end")
    parser.add_argument("--base-port", type=int, default=19100)
    parser.add_argument("--out")
    args = parser.parse_args()
    fetch()
    with KafkaCluster(3) as cluster, Stack(layout(args.base_port, cluster.settings().brokers)) as stack:
        verdict, facts = asyncio.run(run(stack, cluster, args))
    emit("jobs_campaign", {**facts, **verdict.document()}, args.out)
    changed = facts.get("replays_changed", 0) or facts.get("charges_by_replays", 0)
    return 1 if verdict.violations or changed else 0


if __name__ == "__main__":
    sys.exit(main())
