"""What idempotence costs a consumer: ends of jobs read from real Kafka and announced in the store, against a bare poll.

The consumer process is the service's own reader of headrace.jobs.finished.v1: kafka-python in its thread, the consumer
base, CloudEvents decoded, and for what was polled together one function call of a real Valkey, which records that the
end was seen, refuses what was seen before, and plans the webhook of those that have one (one in ten here). Offsets are
committed behind it. Every event is of a job of its own that has ended and was never announced. The bare loop is the
same client with the same options in a process of its own, which polls and looks at nothing. Both read a topic that is
filled before they start; time and CPU count from the first message to the last. They alternate; each round has topics,
jobs and groups of its own. Consumer and bare loop run on core 1; Kafka and Valkey on core 0.

    python -m loadtests.jobs.throughput --events 100000 --rounds 3
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import uvloop
from headrace.events.v1 import jobs_pb2 as events
from headrace.jobs.v1 import jobs_pb2
from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from libs.clock import SystemClock
from libs.kafka import KafkaSettings, TopicSpec
from libs.kafka.client import client_config
from libs.kafka.consumer import Consumer, ConsumerMetrics
from libs.kafka.consumer.kafka_source import KafkaSource
from libs.kafka.events import event_record
from libs.kafka.handling import Delivery
from libs.kafka.producer import IdempotentProducer
from libs.kafka.settings import ConsumerSettings
from libs.telemetry.metrics import Registry
from libs.testing.letters import MemoryLetters
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey, ValkeySettings
from loadtests.common.procs import cpu_seconds
from loadtests.common.report import emit, median
from services.jobs.adapters.store.client import ValkeyJobs
from services.jobs.consumers.finished import FinishedHandler
from services.jobs.domain.attempt import BeginAsk, Effect, PartKey
from services.jobs.domain.job import Caller, NewJob, PartSpec, Request, StepResult, Usage, Webhook
from tools.kafka_node import KafkaNode, fetch

TENANT = "throughput"
PARTITIONS = 12
BATCH = 500
WEBHOOK_ONE_IN = 10
POLL_RECORDS = 500


def job_name(round_number: int, number: int) -> str:
    """Id of a job."""
    return f"job_{round_number:04x}{number:020x}"


async def end_jobs(store: ValkeyJobs, round_number: int, count: int) -> None:
    """So many jobs of one request that have run and ended."""
    caller = Caller(TENANT, "key_1")
    hook = Webhook("https://hooks.example/ended", "0123456789abcdef")
    for first in range(0, count, BATCH):
        names = [job_name(round_number, number) for number in range(first, min(first + BATCH, count))]
        await asyncio.gather(*(store.create(_new(at, name, caller, hook)) for at, name in enumerate(names)))
        await asyncio.gather(*(store.confirm(TENANT, name, 0) for name in names))
        begun = await store.begin(TENANT, [BeginAsk(PartKey(name, 0), "bench", 60_000, 8) for name in names])
        results = (StepResult(0, "", 200, "chatcmpl-1", b"{}", usage=Usage(10, 0, 5, 15)),)
        await store.apply(
            TENANT, [Effect(PartKey(name, 0), each.epoch, results) for name, each in zip(names, begun, strict=True)]
        )


def _new(at: int, name: str, caller: Caller, hook: Webhook) -> NewJob:
    part = PartSpec(0, 0, 1, name, ("small",))
    webhook = hook if at % WEBHOOK_ONE_IN == 0 else None
    return NewJob(
        name, caller, "f" * 32, 86_400, webhook=webhook, parts=(part,), requests=(Request(0, "", b"w", "small"),)
    )


async def fill(kafka: KafkaSettings, store: ValkeyJobs, topic: str, round_number: int, count: int) -> int:
    """The topic with one end per job, as the service publishes them; bytes of a message, headers included."""
    producer, size = IdempotentProducer(kafka, [TopicSpec(topic, PARTITIONS)]), 0
    try:
        for first in range(0, count, BATCH):
            names = [job_name(round_number, number) for number in range(first, min(first + BATCH, count))]
            jobs = await asyncio.gather(*(store.get(TENANT, name) for name in names))
            records = []
            for name, job in zip(names, jobs, strict=True):
                if job is None:
                    raise RuntimeError(f"the store has no job {name}")
                told = jobs_pb2.Job(
                    id=name, state=jobs_pb2.JOB_STATE_SUCCEEDED, total=1, succeeded=1, version=job.version
                )
                value = events.JobFinished(tenant=TENANT, key_id="key_1", job=told)
                key = f"{TENANT}/{name}".encode()
                ident = f"{name}/{job.version}"
                records.append(
                    event_record(topic=topic, key=key, value=value, source="headrace/jobs", id=ident, time=time.time())
                )
            size = records[-1].size_bytes
            await producer.send(records)
    finally:
        await producer.close()
    return size


class Counted:
    """Counts what a handler was given and returned for; CPU and wall clock from the first message to the last."""

    def __init__(self, inner: FinishedHandler, count: int) -> None:
        self._inner, self._count = inner, count
        self._seen = self.batches = 0
        self._began = (0.0, 0.0)
        self.figures: dict[str, Any] = {}
        self.over = asyncio.Event()

    async def handle_batch(self, messages: Sequence[Delivery]) -> Sequence[Exception | None]:
        """See BatchHandler."""
        if not self._seen:
            self._began = (time.monotonic(), time.process_time())
        results = await self._inner.handle_batch(messages)
        if any(results):
            raise RuntimeError(f"the benchmark's own events were refused: {next(filter(None, results))!r}")
        self._seen += len(messages)
        self.batches += 1
        if self._seen >= self._count:
            wall, cpu = time.monotonic() - self._began[0], time.process_time() - self._began[1]
            self.figures = {"wall": wall, "cpu": cpu, "calls": self.batches}
            self.over.set()
        return results


async def consume(kafka: KafkaSettings, valkey_url: str, topic: str, count: int) -> dict[str, Any]:
    """The child that consumes as the service does."""
    clock, settings = SystemClock(), ConsumerSettings(poll_records_max=POLL_RECORDS)
    valkey = Valkey(ValkeySettings(url=valkey_url, op_timeout_ms=5_000), clock)
    handler = Counted(FinishedHandler(ValkeyJobs(valkey), clock), count)
    source = KafkaSource(kafka, settings, f"{topic}-consumer", [TopicSpec(topic, PARTITIONS)])
    metrics = ConsumerMetrics(Registry())
    consumer = Consumer(source, handler, MemoryLetters(), clock, settings, metrics)
    running = asyncio.create_task(consumer.run())
    await handler.over.wait()
    await consumer.join(5.0)
    await running
    await valkey.close()
    return handler.figures


def poll(kafka: KafkaSettings, topic: str, count: int) -> dict[str, Any]:
    """The child that only polls."""
    client = KafkaConsumer(
        topic,
        **client_config(kafka),
        group_id=f"{topic}-bare",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        partition_assignment_strategy=[CooperativeStickyAssignor],
        max_poll_records=POLL_RECORDS,
        fetch_max_wait_ms=50,
        metrics_enabled=False,
    )
    seen, began = 0, (0.0, 0.0)
    while seen < count:
        polled = client.poll(timeout_ms=50)
        if polled and not seen:
            began = (time.monotonic(), time.process_time())
        seen += sum(map(len, polled.values()))
    figures = {"wall": time.monotonic() - began[0], "cpu": time.process_time() - began[1]}
    client.close(autocommit=False)
    return figures


def child(kind: str, kafka: KafkaSettings, url: str, topic: str, count: int, store: list[int]) -> dict[str, Any]:
    """Runs a child on core 1; its figures, and the store's CPU meanwhile."""
    command = ["taskset", "-c", "1", sys.executable, "-m", "loadtests.jobs.throughput", "--child", kind]
    command += ["--brokers", ",".join(kafka.brokers), "--valkey", url, "--topic", topic, "--events", str(count)]
    before = cpu_seconds(store)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{kind} failed:\n{done.stderr[-4000:]}")
    found = dict(json.loads(done.stdout.splitlines()[-1]))
    found["store_cpu"] = cpu_seconds(store) - before
    return found


def per_message(found: Sequence[dict[str, Any]], count: int) -> dict[str, Any]:
    """Medians over rounds."""
    return {
        "messages_per_s": round(count / median([each["wall"] for each in found])),
        "cpu_us": round(1e6 * median([each["cpu"] for each in found]) / count, 2),
        "store_cpu_us": round(1e6 * median([each["store_cpu"] for each in found]) / count, 2),
        "messages_per_s_of_each": [round(count / each["wall"]) for each in found],
    }


async def measure(args: argparse.Namespace, kafka: KafkaSettings, store: ValkeyProcess) -> dict[str, Any]:
    """All rounds."""
    valkey = Valkey(store.settings(op_timeout_ms=5_000))
    jobs, size = ValkeyJobs(valkey), 0
    found: dict[str, list[dict[str, Any]]] = {"bare": [], "consumer": []}
    pid = int((await valkey.command("INFO", "server"))["process_id"])
    for number in range(args.rounds):
        topic = f"ends-{number}"
        await end_jobs(jobs, number, args.events)
        size = await fill(kafka, jobs, topic, number, args.events)
        for kind in ("bare", "consumer") if number % 2 == 0 else ("consumer", "bare"):
            made = await asyncio.to_thread(child, kind, kafka, store.url, topic, args.events, [pid])
            found[kind].append(made)
    await valkey.close()
    bare, consumer = per_message(found["bare"], args.events), per_message(found["consumer"], args.events)
    rates = [b["wall"] / c["wall"] for b, c in zip(found["bare"], found["consumer"], strict=True)]
    return {
        "events": args.events,
        "message_bytes": size,
        "bare": bare,
        "consumer": consumer,
        "messages_per_store_call": round(args.events / median([each["calls"] for each in found["consumer"]])),
        "share_of_bare": round(median(rates), 3),
        "share_of_bare_of_each": [round(rate, 3) for rate in rates],
    }


def main() -> None:
    """Prints and keeps the figures; or is a child."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out")
    for name in ("--child", "--brokers", "--valkey", "--topic"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        kafka = KafkaSettings(brokers=tuple(args.brokers.split(",")))
        if args.child == "bare":
            print(json.dumps(poll(kafka, args.topic, args.events)))
        else:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                print(json.dumps(runner.run(consume(kafka, args.valkey, args.topic, args.events))))
        return
    fetch()
    os.sched_setaffinity(0, {0})  # of brokers and store, too; children that consume have the other core
    with KafkaNode() as node, ValkeyProcess("everysec") as store:
        kafka = node.broker.settings(connect_timeout_ms=3_000, send_timeout_ms=30_000)
        result = asyncio.run(measure(args, kafka, store))
    emit("jobs_throughput", result, args.out)


if __name__ == "__main__":
    main()
