"""The checks of `headrace doctor`. Each looks at one thing and says how to put it right; none changes anything."""

from __future__ import annotations

import asyncio
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from cli.config import Config
from cli.cores import usable_cores
from cli.errors import CliError
from cli.model.bundled import DISK_BYTES_NEEDED, bundled_fault
from cli.plan import plan
from cli.supervisor.ports import holder, is_free
from cli.supervisor.state import read_state

PYTHON_MIN = (3, 11)
# An engine on CPU: weights, torch, KV cache; measured 2.3 to 2.8 GiB resident with the bundled model.
MEMORY_PER_VLLM_BYTES = 3 * 1024**3
MEMORY_BASE_BYTES = 1024**3

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """What one check found; `fix` is empty when there is nothing to do."""

    check: str
    level: Level
    message: str
    fix: str = ""


def examine(config: Config) -> list[Finding]:
    """All findings. `config` has been read already, so its own faults are not among them."""
    checks: tuple[Callable[[Config], Iterator[Finding]], ...] = (
        _python, _memory, _disk, _cores, _running, _permissions, _model, _settings,
    )  # fmt: skip
    return [finding for check in checks for finding in check(config)]


def _python(_: Config) -> Iterator[Finding]:
    version = sys.version.split()[0]
    if sys.version_info[:2] < PYTHON_MIN:
        yield Finding("python", "error", f"Python {version} is too old", "use Python 3.11 or newer and `make setup`")
    else:
        yield Finding("python", "ok", f"Python {version}")


def _memory(config: Config) -> Iterator[Finding]:
    engines = sum(worker.engine == "vllm" for worker in config.workers)
    needed = MEMORY_BASE_BYTES + engines * MEMORY_PER_VLLM_BYTES
    free = psutil.virtual_memory().available
    said = f"{free / 1024**3:.1f} GiB free, {needed / 1024**3:.0f} GiB wanted for {engines} vLLM worker(s)"
    fix = "" if free >= needed else "close programs, or start with --workers 1"
    yield Finding("memory", "ok" if free >= needed else "warning", said, fix)


def _disk(config: Config) -> Iterator[Finding]:
    place = _existing(config.state_dir)
    free = shutil.disk_usage(place).free
    said = f"{free / 1024**3:.1f} GiB free at {place}"
    enough = free >= DISK_BYTES_NEEDED
    yield Finding("disk", "ok" if enough else "error", said, "" if enough else "free 600 MB or use --state-dir")


def _cores(config: Config) -> Iterator[Finding]:
    cores, engines = len(usable_cores()), sum(worker.engine == "vllm" for worker in config.workers)
    said = f"{cores} core(s) for {engines} vLLM worker(s)"
    fix = "" if cores >= engines else f"answers are slow when engines share a core; start with --workers {cores}"
    yield Finding("cores", "ok" if cores >= engines else "warning", said, fix)


def _running(config: Config) -> Iterator[Finding]:
    """Ports matter only while the platform does not run: then it holds them itself."""
    try:
        state = read_state(config.layout.state_file)
    except CliError as problem:
        yield Finding("state", "error", problem.message, problem.fix)
        return
    if state is not None and state.alive:
        yield Finding("state", "ok", f"headrace runs as process {state.pid}")
        return
    if state is not None:
        yield Finding("state", "warning", "an earlier headrace was killed", "`headrace down` clears what it left")
    yield from _ports(config)


def _ports(config: Config) -> Iterator[Finding]:
    unused = {"workers"} if config.embedded_broker else {"workers", "kafka"}
    named = config.ports.model_dump(exclude=unused) | dict(zip(config.worker_names, config.worker_ports, strict=True))
    for name, port in named.items():
        if is_free(port):
            yield Finding("port", "ok", f"{port} for {name} is free")
        else:
            way = {"rest": "--rest-port", "grpc": "--grpc-port"}.get(name, "`ports` in headrace.yaml")
            fix = f"stop it, or choose another port with {way}"
            yield Finding("port", "error", f"{port} for {name} is in use by {holder(port)}", fix)


def _permissions(config: Config) -> Iterator[Finding]:
    layout = config.layout
    for path in (layout.admin_key_file, layout.pepper_file, layout.token_file, layout.keys_file):
        if path.exists() and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
            yield Finding("permissions", "error", f"{path} has mode {mode:o}", f"chmod 600 {path}")
    place = _existing(config.state_dir)
    try:
        probe = place / ".headrace-doctor"
        probe.touch()
        probe.unlink()
        yield Finding("permissions", "ok", f"{place} can be written")
    except OSError as problem:
        yield Finding("permissions", "error", f"{place} cannot be written: {problem}", "chown it or use --state-dir")


def _model(config: Config) -> Iterator[Finding]:
    for worker in config.workers:
        if worker.path is not None and not (worker.path / "config.json").is_file():
            yield Finding("model", "error", f"{worker.path} holds no model", "correct `path` in headrace.yaml")
    if config.needs_bundled_model:
        fault = asyncio.run(bundled_fault(config.layout.models))
        if fault:
            yield Finding("model", "warning", f"the bundled model: {fault}", "`headrace model fetch` makes it")
        else:
            yield Finding("model", "ok", "the bundled model is whole")


def _settings(config: Config) -> Iterator[Finding]:
    """Asks each service whether it would start with its settings."""
    for spec in plan(config):
        if spec.kind in ("store", "broker"):
            continue
        done = subprocess.run([*spec.argv, "--check-config"], capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip())[-500:]
            yield Finding("settings", "error", f"{spec.name} refuses its settings: {said}", "correct headrace.yaml")
        else:
            yield Finding("settings", "ok", f"{spec.name} accepts its settings")


def _existing(path: Path) -> Path:
    path = path.resolve()
    while not path.exists():
        path = path.parent
    return path
