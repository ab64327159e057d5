"""Bad messages among good ones: whether the good ones notice, and what becomes of the bad.

One jobs process over real Apache Kafka. Jobs of one short request are submitted at a steady rate over the API; phases
alternate: nothing else in the topic, and bad messages put there straight by a producer, one in four: bytes that are no
event, an event of a newer schema, one with a forged tenant, one without headers, and some of ten megabytes. The figure
is the p99 of a good job's life (created to ended, by the platform's clock) in all bad phases against all clean ones.
Afterwards every bad message must stand in the dead-letter or the parking topic, with its cause, and no good one.

    python -m loadtests.jobs.poison --rounds 3 --seconds 20
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from headrace.events.v1 import jobs_pb2

from libs.kafka import KafkaSettings, Record
from libs.kafka.producer import IdempotentProducer
from libs.kafka.reader import TopicReader
from loadtests.common.accounts import new_account
from loadtests.common.report import emit, quantile
from loadtests.common.stack import Stack
from loadtests.jobs.campaign import TENANT, layout
from loadtests.jobs.client_log import Submitters
from loadtests.jobs.topics import FINISHED, REQUESTED
from tools.kafka_node import KafkaNode, fetch

LARGE_BYTES = 10 * 2**20
BROKER_BYTES_MAX = 12 * 2**20
# Of so many bad messages one is large: ten megabytes each soon fill a laptop's disk.
LARGE_ONE_IN = 20
LIFE_SECONDS_MAX = 60.0
_HEADERS = (
    ("ce_specversion", b"1.0"),
    ("ce_type", b"headrace.events.v1.JobRequested"),
    ("ce_source", b"loadtest"),
    ("ce_time", b"2026-01-01T00:00:00Z"),
    ("content-type", b"application/protobuf"),
)


def bad(number: int, rng: random.Random) -> tuple[str, Record]:
    """A message that no consumer can use, and its kind."""
    good = jobs_pb2.JobRequested(tenant=TENANT)
    good.part.job = "job_000000000000000000000000"
    key = f"{TENANT}/bad-{number}".encode()
    headers = (*_HEADERS, ("ce_id", f"bad-{number}".encode()))
    known = ("ce_dataschema", b"headrace.events.v1.JobRequested/1")
    if number % LARGE_ONE_IN == 0:
        return "large", Record(REQUESTED, key, rng.randbytes(LARGE_BYTES), (*headers, known))
    kind = ("bytes", "newer", "forged", "bare")[number % 4]
    if kind == "bytes":
        return kind, Record(REQUESTED, key, b"\xff" + rng.randbytes(200), (*headers, known))
    if kind == "newer":
        newer = ("ce_dataschema", b"headrace.events.v1.JobRequested/99")
        return kind, Record(REQUESTED, key, good.SerializeToString(), (*headers, newer))
    if kind == "bare":
        return kind, Record(REQUESTED, key, good.SerializeToString())
    forged = jobs_pb2.JobRequested(tenant=TENANT)
    forged.submission.key_id = "key_of_somebody"
    signature = ("headrace-signature", b"v1=" + b"0" * 64)
    return kind, Record(REQUESTED, key, forged.SerializeToString(), (*headers, known, signature))


class Phases:
    """Runs phases on one stack and keeps what the good jobs came to."""

    def __init__(self, clients: Submitters, kafka: KafkaSettings, rng: random.Random, rate: float) -> None:
        self._clients, self._kafka, self._rng, self._rate = clients, kafka, rng, rate
        self.sent: Counter[str] = Counter()
        self._next_job = self._next_bad = 0

    async def run(self, seconds: float, *, dirty: bool) -> list[float]:
        """One phase; the lives of its jobs in milliseconds, those that did not succeed as infinity."""
        count = int(seconds * self._rate)
        first, self._next_job = self._next_job, self._next_job + count
        pouring = asyncio.create_task(self._pour(seconds)) if dirty else None
        await self._clients.submit(range(first, first + count), rate=self._rate)
        if pouring is not None:
            await pouring
        return await self._lives({self._clients.log.promises[at].job for at in range(first, first + count)})

    async def _pour(self, seconds: float) -> None:
        producer = IdempotentProducer(self._kafka)
        began, sent = time.monotonic(), 0
        try:
            while (now := time.monotonic() - began) < seconds:
                while sent < now * self._rate / 3:
                    kind, record = bad(self._next_bad, self._rng)
                    await producer.send([record])
                    self.sent[kind] += 1
                    self._next_bad, sent = self._next_bad + 1, sent + 1
                await asyncio.sleep(0.05)
        finally:
            await producer.close()

    async def _lives(self, jobs: set[str]) -> list[float]:
        """From the topic of ends, which has them to the millisecond; what is not there after a minute never ended."""
        until = time.monotonic() + LIFE_SECONDS_MAX
        while True:
            found: dict[str, float] = {}
            async for batch in TopicReader(self._kafka).read_all(FINISHED):
                for stored in batch:
                    job = jobs_pb2.JobFinished.FromString(stored.record.value).job
                    if job.id in jobs:
                        life = job.ended_unix_ms - job.created_unix_ms
                        found[job.id] = life if job.succeeded else float("inf")
            if len(found) == len(jobs) or time.monotonic() > until:
                return [found.get(job, float("inf")) for job in jobs]
            await asyncio.sleep(1.0)


async def letters(kafka: KafkaSettings, suffix: str) -> list[dict[str, str]]:
    """Headers of everything in one of the topics beside the requested one."""
    found = []
    async for batch in TopicReader(kafka).read_all(f"{REQUESTED}.{suffix}"):
        found += [{name: value.decode(errors="replace") for name, value in s.record.headers} for s in batch]
    return found


async def run(stack: Stack, kafka: KafkaSettings, args: argparse.Namespace) -> dict[str, Any]:
    """All rounds, then the letters."""
    account = await asyncio.to_thread(new_account, stack.url, stack.key, TENANT, limits={}, keep_records=False)
    rng = random.Random(args.seed)
    clients = Submitters(stack.rest_ports, account.secret, rng, "poison", parallel=16)
    phases = Phases(clients, kafka, rng, args.rate)
    await phases.run(5.0, dirty=False)  # warm-up
    lives: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(args.rounds):
        for dirty in (False, True):
            lives[dirty] += await phases.run(args.seconds, dirty=dirty)
    await asyncio.sleep(10.0)  # retries of what is no poison to the letter
    dead, parked = await letters(kafka, "dead"), await letters(kafka, "parked")
    return {
        **{name: _figures(lives[dirty]) for dirty, name in ((False, "clean"), (True, "dirty"))},
        "p99_ratio": round(quantile(lives[True], 0.99) / quantile(lives[False], 0.99), 3),
        "sent": dict(phases.sent),
        "dead": dict(Counter(each.get("headrace-cause", "no cause")[:60] for each in dead)),
        "parked": len(parked),
        "missing": sum(phases.sent.values()) - len(dead) - len(parked),
        "without_cause": sum("headrace-cause" not in each for each in dead),
    }


def _figures(lives: Sequence[float]) -> dict[str, Any]:
    return {
        "jobs": len(lives),
        "not_succeeded": sum(life == float("inf") for life in lives),
        **{f"p{int(q * 100)}_ms": round(quantile(lives, q), 1) for q in (0.5, 0.99)},
    }


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=15.0, help="good jobs a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--base-port", type=int, default=19400)
    parser.add_argument("--out")
    args = parser.parse_args()
    fetch()
    with KafkaNode(message_bytes_max=BROKER_BYTES_MAX) as node:
        kafka = node.broker.settings(
            connect_timeout_ms=3_000, send_timeout_ms=10_000, record_bytes_max=BROKER_BYTES_MAX - 2**16
        )
        made = layout(args.base_port, kafka.brokers)
        made.jobs = 1
        # Bad messages are a quarter of all here; what the limit is there for is another test.
        made.jobs_args = [*made.jobs_args, "--letters.dead_letters_max", "100000"]
        with Stack(made) as stack:
            result = asyncio.run(run(stack, kafka, args))
    emit("jobs_poison", result, args.out)
    bad_end = result["missing"] or result["without_cause"] or result["dirty"]["not_succeeded"]
    return 1 if bad_end else 0


if __name__ == "__main__":
    sys.exit(main())
