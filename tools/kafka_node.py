"""A real Apache Kafka for tests: fetches the broker with Maven, and runs KRaft nodes on loopback, one or three.

`fetch` fills .cache/kafka-<version>; `missing` says what keeps this machine from it (nothing = it works); `run` starts
nodes (--nodes), prints their addresses and waits for Ctrl-C.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script
    sys.path.insert(0, str(ROOT))

from libs.kafka import KafkaSettings  # noqa: E402  needs the path
from libs.kafka.topics import brokers_known  # noqa: E402
from libs.testing.brokers import BrokerProcess, free_ports  # noqa: E402

VERSION = "4.1.0"
# Kafka's own choice; without a binding its log, start-up errors included, goes nowhere.
LOG_BINDING = ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3")
JARS = ROOT / ".cache" / f"kafka-{VERSION}"
JAVA_MIN = 17
# Three seconds where nobody else works; a node that was killed also reads its log again.
START_SECONDS_MAX = 180.0
# Of a partition: more nodes than that do not get more.
COPIES_MAX = 3
# Small and quick to start: tests send thousands of records, not millions.
JVM = ("-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>headrace</groupId><artifactId>kafka-for-tests</artifactId><version>1</version>
  <dependencies>{dependencies}</dependencies>
</project>
"""
DEPENDENCY = (
    "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>"
    "<exclusions><exclusion><groupId>*</groupId><artifactId>junit</artifactId></exclusion></exclusions></dependency>"
)

# Topics are created by those who mean to, never by a request that names one. Nodes and members that die are noticed
# soon, as tests wait for it.
PROPERTIES = """
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={directory}/data
auto.create.topics.enable=false
default.replication.factor={copies}
min.insync.replicas={in_sync}
unclean.leader.election.enable=false
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=8
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
message.max.bytes={message_bytes_max}
replica.fetch.max.bytes={message_bytes_max}
"""


def missing() -> str:
    """What this machine lacks; empty when nothing."""
    java = shutil.which("java")
    if java is None:
        return f"needs Java {JAVA_MIN} or later"
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < JAVA_MIN:
        return f"needs Java {JAVA_MIN} or later, there is: {said.splitlines()[0] if said else 'one that does not run'}"
    if not fetched() and shutil.which("mvn") is None:
        return "needs Maven (mvn), which fetches Apache Kafka"
    return ""


def fetched() -> bool:
    """Whether the jars are here, all of them."""
    return (JARS / ".complete").is_file()


def fetch() -> None:
    """Puts Apache Kafka and what it needs into JARS (45 MB, once). Raises CalledProcessError."""
    if fetched():
        return
    dependencies = [("org.apache.kafka", "kafka_2.13", VERSION), LOG_BINDING]
    with tempfile.TemporaryDirectory(prefix="hr-mvn-") as build:
        pom = Path(build) / "pom.xml"
        pom.write_text(POM.format(dependencies="".join(DEPENDENCY.format(*item) for item in dependencies)))
        target = f"-DoutputDirectory={JARS}"
        subprocess.run(["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", target], check=True)
    (JARS / ".complete").touch()


class KafkaCluster:
    """`with KafkaCluster(3) as cluster: cluster.settings()`. Nodes are brokers and controllers in one, counted from 0.

    With three, topics have three copies of which two must be in sync, and a record that `acks=all` has acknowledged
    outlives any one node. A node that is killed keeps its port and its data; the data goes with the cluster.
    """

    def __init__(self, size: int = 3, *, message_bytes_max: int = 1_048_588) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="hr-kafka-"))
        self._size, self._message_bytes_max = size, message_bytes_max
        ports = free_ports(2 * size)
        self._ports, self._controllers = ports[:size], ports[size:]
        self.nodes = [self._node(index) for index in range(size)]

    @property
    def brokers(self) -> tuple[str, ...]:
        """Of each node, as "host:port"."""
        return tuple(f"127.0.0.1:{port}" for port in self._ports)

    def settings(self, **changes: object) -> KafkaSettings:
        """Settings that reach all nodes, with limits that suit tests; `durable` where there are three."""
        near = {"brokers": self.brokers, "durable": self._size >= COPIES_MAX, "connect_timeout_ms": 3_000}
        return KafkaSettings.model_validate({**near, **changes})

    def start(self, index: int) -> None:
        """Starts a node, again after `kill` too; returns when it accepts connections."""
        self.nodes[index].start()

    def kill(self, index: int) -> None:
        """SIGKILL for a node."""
        self.nodes[index].kill()

    def log(self, index: int) -> Path:
        """What a node says."""
        return self.directory / f"node-{index}.log"

    def _node(self, index: int) -> BrokerProcess:
        # Both names of the same number: a voter's, and a node's, which begin at 1.
        voters = ",".join(f"{number}@127.0.0.1:{port}" for number, port in enumerate(self._controllers, start=1))
        copies = min(self._size, COPIES_MAX)
        self._properties(index).write_text(
            PROPERTIES.format(
                number=index + 1,
                voters=voters,
                port=self._ports[index],
                controller=self._controllers[index],
                directory=self.directory / f"node-{index}",
                copies=copies,
                in_sync=max(copies - 1, 1),
                message_bytes_max=self._message_bytes_max,
            )
        )
        command = (*_java(), "kafka.Kafka", str(self._properties(index)))
        return BrokerProcess(command, self._ports[index], self.log(index), START_SECONDS_MAX)

    def _properties(self, index: int) -> Path:
        return self.directory / f"server-{index}.properties"

    def _format(self) -> None:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        for index in range(self._size):
            file = str(self._properties(index))
            command = (*_java(), "kafka.tools.StorageTool", "format", "-t", cluster, "-c", file)
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"formatting Kafka's directory failed: {done.stdout}{done.stderr}")

    def _wait_for_all(self) -> None:
        """Until every node is a broker of the cluster: before that a topic cannot have all its copies."""
        end = time.monotonic() + START_SECONDS_MAX
        while brokers_known(self.settings()) < self._size:
            if time.monotonic() > end:
                raise RuntimeError(f"not all nodes joined; logs: {self.directory}")
            time.sleep(0.1)

    def __enter__(self) -> Self:
        try:
            self._format()
            # At once: a node accepts connections when most of the controllers are there.
            with ThreadPoolExecutor(self._size) as threads:
                list(threads.map(self.start, range(self._size)))
            self._wait_for_all()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for node in self.nodes:
            node.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class KafkaNode(KafkaCluster):
    """`with KafkaNode() as node: node.broker.settings()`. A cluster of one."""

    def __init__(self, *, message_bytes_max: int = 1_048_588) -> None:
        super().__init__(1, message_bytes_max=message_bytes_max)
        self.broker = self.nodes[0]


def _java() -> tuple[str, ...]:
    return ("java", *JVM, "-cp", f"{JARS}/*")


def _run(size: int) -> None:
    began = time.monotonic()
    with KafkaCluster(size) as cluster:
        took = time.monotonic() - began
        print(f"Apache Kafka {VERSION} at {', '.join(cluster.brokers)} after {took:.1f} s", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("fetch", "missing", "run"))
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1)
    arguments = parser.parse_args()
    command = arguments.command
    why = missing()
    if command == "missing":
        print(why, end="")
        return 0
    if why:
        print(f"Apache Kafka: {why}", file=sys.stderr)
        return 1
    fetch()
    if command == "run":
        _run(arguments.nodes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
