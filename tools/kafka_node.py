"""A real Apache Kafka for tests: fetches the broker with Maven, and runs one KRaft node on loopback.

`fetch` fills .cache/kafka-<version>; `missing` says what keeps this machine from it (nothing = it works); `run` starts
a node, prints its address and waits for Ctrl-C.
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
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script
    sys.path.insert(0, str(ROOT))

from libs.testing.brokers import BrokerProcess, free_port  # noqa: E402  needs the path

VERSION = "4.1.0"
# Kafka's own choice; without a binding its log, start-up errors included, goes nowhere.
LOG_BINDING = ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3")
JARS = ROOT / ".cache" / f"kafka-{VERSION}"
JAVA_MIN = 17
START_SECONDS_MAX = 60.0
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

# Topics are created by those who mean to, never by a request that names one.
PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={directory}/data
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
message.max.bytes={message_bytes_max}
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


class KafkaNode:
    """`with KafkaNode() as node: node.broker.settings()`. Broker and controller in one; its data goes with it."""

    def __init__(self, *, message_bytes_max: int = 1_048_588) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="hr-kafka-"))
        port, controller = free_port(), free_port()
        self._properties = self._directory / "server.properties"
        self._properties.write_text(
            PROPERTIES.format(
                port=port, controller=controller, directory=self._directory, message_bytes_max=message_bytes_max
            )
        )
        command = (*_java(), "kafka.Kafka", str(self._properties))
        self.log = self._directory / "kafka.log"
        self.broker = BrokerProcess(command, port, self.log, START_SECONDS_MAX)

    def start(self) -> None:
        """Formats its directory and starts; returns when it accepts connections."""
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = (*_java(), "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._properties))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"formatting Kafka's directory failed: {done.stdout}{done.stderr}")
        self.broker.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.broker.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


def _java() -> tuple[str, ...]:
    return ("java", *JVM, "-cp", f"{JARS}/*")


def _run() -> None:
    began = time.monotonic()
    with KafkaNode() as node:
        print(
            f"Apache Kafka {VERSION} at 127.0.0.1:{node.broker.port} after {time.monotonic() - began:.1f} s", flush=True
        )
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("fetch", "missing", "run"))
    command = parser.parse_args().command
    why = missing()
    if command == "missing":
        print(why, end="")
        return 0
    if why:
        print(f"Apache Kafka: {why}", file=sys.stderr)
        return 1
    fetch()
    if command == "run":
        _run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
