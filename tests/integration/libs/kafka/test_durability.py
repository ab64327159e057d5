"""Three real nodes: what was acknowledged is read, whoever dies on the way."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from libs.kafka import KafkaError, Record, TopicSpec
from libs.kafka.producer import IdempotentProducer
from libs.testing.loop import run_real
from tools.kafka_node import KafkaCluster, fetched

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    # kafka-python leaves a socket to the collector where a connection is being made when it is closed.
    pytest.mark.filterwarnings("ignore:unclosed .socket:ResourceWarning"),
]
ROOT = Path(__file__).resolve().parents[4]
TOPIC = TopicSpec("durable", 6)
BATCHES, BATCH = 40, 50
READERS = 3
WAIT_SECONDS = 120.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaCluster]:
    if not fetched():
        pytest.skip("Apache Kafka is not here: make test-kafka fetches it")
    with KafkaCluster(3) as made:
        yield made


class Readers:
    """Consumer processes of one group, each with its own file for all of its lives."""

    def __init__(self, cluster: KafkaCluster, folder: Path) -> None:
        self._brokers, self._folder = ",".join(cluster.brokers), folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int) -> None:
        module = "tests.integration.libs.kafka.reading_process"
        command = [sys.executable, "-m", module, self._brokers, TOPIC.name, str(self._folder / f"{number}.txt")]
        self._processes[number] = subprocess.Popen(command, cwd=ROOT)

    def kill(self, number: int) -> None:
        process = self._processes.pop(number)
        process.kill()
        process.wait()

    def kill_all(self) -> None:
        for number in list(self._processes):
            self.kill(number)

    def seen(self) -> list[bytes]:
        return [line for path in self._folder.glob("*.txt") for line in path.read_bytes().split(b"\n")[:-1]]


@contextmanager
def reading(cluster: KafkaCluster, folder: Path) -> Iterator[Readers]:
    readers = Readers(cluster, folder)
    try:
        for number in range(READERS):
            readers.start(number)
        yield readers
    finally:
        readers.kill_all()


async def publish(cluster: KafkaCluster, turn: Callable[[int], None]) -> set[bytes]:
    """Sends in batches, each again until it is acknowledged; returns what was. `turn` comes between batches."""
    producer = IdempotentProducer(cluster.settings(send_timeout_ms=5_000), [TOPIC])
    acknowledged: set[bytes] = set()
    for number in range(BATCHES):
        batch = [Record(TOPIC.name, b"k%d" % n, b"%d-%d" % (number, n)) for n in range(BATCH)]
        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                await producer.send(batch)
            except KafkaError:
                assert time.monotonic() < end, "no batch was acknowledged any more"
                await asyncio.sleep(0.05)
            else:
                break
        acknowledged |= {record.value for record in batch}
        await asyncio.to_thread(turn, number)
    await producer.close()
    return acknowledged


def test_nothing_that_was_acknowledged_is_lost_while_nodes_and_readers_are_killed(
    cluster: KafkaCluster, tmp_path: Path
) -> None:
    choice = random.Random(20)  # the same order of deaths in every run
    down: list[int] = []

    def turn(number: int) -> None:
        if number % 10 == 4:
            down.append(choice.randrange(3))
            cluster.kill(down[-1])
        elif number % 10 == 9:
            cluster.start(down.pop())
        elif number % 10 == 7:
            reader = choice.randrange(READERS)
            readers.kill(reader)
            readers.start(reader)

    async def main() -> None:
        acknowledged = await publish(cluster, turn)
        assert len(acknowledged) == BATCHES * BATCH
        end = time.monotonic() + WAIT_SECONDS
        while missing := acknowledged - set(readers.seen()):
            assert time.monotonic() < end, f"{len(missing)} of {len(acknowledged)} are lost: {sorted(missing)[:5]}"
            await asyncio.sleep(0.1)
        # At least once, and not over and over: a reader that dies has little that was not committed.
        assert len(readers.seen()) < 2 * len(acknowledged)

    with reading(cluster, tmp_path) as readers:
        run_real(main())
