"""What the consumer base adds to a bare poll loop: CPU per message of both, on real Apache Kafka.

Each run is a process of its own, which reads the same topic (filled before, 300-byte messages, with `--headers` as
events have them) in a group of its own, with the same client options. `bare` polls and looks at nothing; `batches` is
the base with a BatchHandler that does nothing, `singles` with a Handler that does nothing. The base commits as it goes,
the bare loop does not. Kinds take turns, in another order each round. Time and CPU of the process, all of its threads,
count from the first message to the last.

    python -m loadtests.kafka_consumer --messages 200000 --rounds 5
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import uvloop
from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from libs.clock import SystemClock
from libs.kafka import KafkaSettings, Record, TopicSpec
from libs.kafka.client import client_config
from libs.kafka.consumer import Consumer, ConsumerMetrics
from libs.kafka.consumer.kafka_source import KafkaSource
from libs.kafka.handling import Delivery
from libs.kafka.producer import IdempotentProducer
from libs.kafka.settings import ConsumerSettings
from libs.telemetry.metrics import Registry
from libs.testing.letters import MemoryLetters
from loadtests.common.report import emit, median
from tools.kafka_node import KafkaNode, fetch

TOPIC = TopicSpec("consumer-cost", 6)
KINDS = ("bare", "batches", "singles")
MESSAGE_BYTES = 300
BATCH = 1_000


async def fill(kafka: KafkaSettings, count: int, headers: int) -> None:
    """The topic, whose messages are the same for all."""
    told = tuple((f"ce_header_{number}", b"0123456789abcdef") for number in range(headers))
    producer = IdempotentProducer(kafka, [TOPIC])
    for first in range(0, count, BATCH):
        numbers = range(first, min(first + BATCH, count))
        await producer.send([Record(TOPIC.name, b"key-%d" % (n % 997), b"x" * MESSAGE_BYTES, told) for n in numbers])
    await producer.close()


class Counting:
    """Time and CPU from the first message to the last."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._began = (0.0, 0.0)
        self.figures: dict[str, float] = {}
        self.over = asyncio.Event()

    def saw(self, messages: int) -> None:
        """So many more."""
        if self._began[0] == 0.0:
            self._began = (time.monotonic(), time.process_time())
        self._left -= messages
        if self._left <= 0 and not self.figures:
            self.figures = {
                "wall": time.monotonic() - self._began[0],
                "cpu": time.process_time() - self._began[1],
            }
            self.over.set()


class Batches(Counting):
    """Does nothing."""

    async def handle_batch(self, messages: Sequence[Delivery]) -> Sequence[Exception | None]:
        """See BatchHandler."""
        self.saw(len(messages))
        return [None] * len(messages)


class Singles(Counting):
    """Does nothing."""

    async def handle(self, _: Delivery, /) -> None:
        """See Handler."""
        self.saw(1)


async def consume(kafka: KafkaSettings, kind: str, group: str, count: int) -> dict[str, float]:
    """The base."""
    settings = ConsumerSettings()
    handler = Batches(count) if kind == "batches" else Singles(count)
    source = KafkaSource(kafka, settings, group, [TOPIC])
    consumer = Consumer(source, handler, MemoryLetters(), SystemClock(), settings, ConsumerMetrics(Registry()))
    running = asyncio.create_task(consumer.run())
    await handler.over.wait()
    await consumer.drain(5.0)
    await running
    return handler.figures


def poll(kafka: KafkaSettings, group: str, count: int) -> dict[str, float]:
    """The bare loop."""
    settings = ConsumerSettings()
    client = KafkaConsumer(
        TOPIC.name,
        **client_config(kafka),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        partition_assignment_strategy=[CooperativeStickyAssignor],
        max_poll_records=settings.poll_records_max,
        fetch_max_wait_ms=50,
        metrics_enabled=False,
    )
    counting = Counting(count)
    while not counting.figures:
        # Long: the client forgets a join that ends between two polls.
        if polled := client.poll(timeout_ms=5_000):
            counting.saw(sum(map(len, polled.values())))
    client.close(autocommit=False)
    return counting.figures


def child(kafka: KafkaSettings, kind: str, group: str, count: int) -> dict[str, float]:
    """Runs one in a process of its own."""
    command = [sys.executable, "-m", "loadtests.kafka_consumer", "--child", kind, "--group", group]
    command += ["--brokers", ",".join(kafka.brokers), "--messages", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{kind} failed:\n{done.stderr[-4000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(kafka: KafkaSettings, rounds: int, count: int, headers: int) -> dict[str, Any]:
    """All rounds."""
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for number in range(rounds):
        turn = number % len(KINDS)
        for kind in KINDS[turn:] + KINDS[:turn]:
            found[kind].append(child(kafka, kind, f"{kind}-{number}", count))
    cpu = {kind: [1e6 * each["cpu"] / count for each in found[kind]] for kind in KINDS}
    return {
        "messages": count,
        "message_bytes": MESSAGE_BYTES,
        "headers": headers,
        "cpu_us_per_message": {kind: round(median(each), 2) for kind, each in cpu.items()},
        "cpu_us_added": {
            kind: round(median([one - bare for one, bare in zip(cpu[kind], cpu["bare"], strict=True)]), 2)
            for kind in KINDS[1:]
        },
        "messages_per_s": {kind: round(count / median([each["wall"] for each in found[kind]])) for kind in KINDS},
        "cpu_us_of_each": {kind: [round(one, 2) for one in each] for kind, each in cpu.items()},
    }


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--headers", type=int, default=0)
    parser.add_argument("--out")
    parser.add_argument("--child", choices=KINDS)
    parser.add_argument("--group", default="")
    parser.add_argument("--brokers", default="")
    args = parser.parse_args()
    if args.child:
        kafka = KafkaSettings(brokers=tuple(args.brokers.split(",")))
        if args.child == "bare":
            figures = poll(kafka, args.group, args.messages)
        else:
            figures = uvloop.run(consume(kafka, args.child, args.group, args.messages))
        print(json.dumps(figures))
        return
    fetch()
    with KafkaNode() as node:
        kafka = node.broker.settings(send_timeout_ms=20_000)
        asyncio.run(fill(kafka, args.messages, args.headers))
        emit("kafka_consumer", measure(kafka, args.rounds, args.messages, args.headers), args.out)


if __name__ == "__main__":
    main()
