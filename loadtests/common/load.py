"""Runs the Rust load generator against a target and samples CPU time exactly over its measured window."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.common.procs import cpu_seconds

CRATE = Path(__file__).resolve().parents[1] / "llmload"


def build() -> str:
    """Builds the generator (needs cargo) and returns its path."""
    subprocess.run(["cargo", "build", "--release", "-q", "--manifest-path", str(CRATE / "Cargo.toml")], check=True)
    return str(CRATE / "target/release/llmload")


@dataclass
class Window:
    """One run: the generator's own JSON, and CPU seconds per watched group over the measured window."""

    result: dict[str, Any]
    wall_seconds: float
    cpu: dict[str, float]


def run(
    llmload: str, args: Sequence[str], *, target: str, headers: Sequence[str], groups: dict[str, list[int]], core: str
) -> Window:
    """Runs `llmload load args`; `groups` maps a name to the process ids whose CPU time counts for it."""
    command = ["taskset", "-c", core, llmload, "load", *args, "--target", target]
    for header in headers:
        command += ["-H", header]
    load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    watched = {**groups, "generator": [load.pid]}
    samples: list[tuple[float, dict[str, float]]] = []
    result: dict[str, Any] = {}
    for line in load.stdout or ():
        event = json.loads(line)
        if "ev" in event:
            samples.append((time.monotonic(), {name: cpu_seconds(pids) for name, pids in watched.items()}))
        else:
            result = event
    load.wait()
    if len(samples) != 2 or not result:
        raise RuntimeError(f"the load generator failed with exit code {load.returncode}: {' '.join(command)}")
    (t0, c0), (t1, c1) = samples
    return Window(result, t1 - t0, {name: c1[name] - c0[name] for name in watched})
