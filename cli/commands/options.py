"""Options that several commands share, and how they become a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.config import Config, load_config
from cli.shapes import parse_shape

ConfigFile = Annotated[
    Path | None, typer.Option("--config", envvar="HEADRACE_CONFIG", help="Settings file. (default: headrace.yaml)")
]
StateDir = Annotated[
    Path | None, typer.Option(envvar="HEADRACE_STATE_DIR", help="Where everything is kept. (default: .headrace)")
]
RestPort = Annotated[int | None, typer.Option(envvar="HEADRACE_REST_PORT", help="REST. (default: 8080)")]
GrpcPort = Annotated[int | None, typer.Option(envvar="HEADRACE_GRPC_PORT", help="Public gRPC. (default: 8090)")]
Workers = Annotated[
    str | None, typer.Option(envvar="HEADRACE_WORKERS", help="2, small=2, small=1,large=1. (default: 2, all pools)")
]
Engine = Annotated[
    str | None, typer.Option(help="Engine of all workers: vllm or simulated (nonsense text, for tests of load).")
]
Anonymous = Annotated[bool, typer.Option("--anonymous", help="Let calls without a key in (loopback only).")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs.")]
Logs = Annotated[bool | None, typer.Option("--logs/--no-logs", help="Show the logs of all processes. (default: on)")]


def configuration(
    config_file: Path | None = None,
    state_dir: Path | None = None,
    rest_port: int | None = None,
    grpc_port: int | None = None,
    workers: str | None = None,
    engine: str | None = None,
    anonymous: bool = False,
) -> Config:
    """File below flags; raises CliError."""
    ports = {"rest": rest_port, "grpc": grpc_port}
    flags: dict[str, Any] = {"ports": {key: value for key, value in ports.items() if value is not None}}
    if state_dir is not None:
        flags["state_dir"] = state_dir
    if anonymous:
        flags["anonymous"] = True
    if workers is not None:
        flags["workers"] = [{"pools": pools} for pools in parse_shape(workers)]
    config = load_config(config_file, flags)
    return config if engine is None else _with_engine(config_file, flags, config, engine)


def _with_engine(config_file: Path | None, flags: dict[str, Any], config: Config, engine: str) -> Config:
    changed = [worker.model_dump(exclude_defaults=True) | {"engine": engine} for worker in config.workers]
    return load_config(config_file, flags | {"workers": changed})
