"""`.headrace/run/state.json`: what the supervisor says of itself, for other commands to read."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cli.errors import CliError
from cli.supervisor.child import start_time


@dataclass
class ProcessState:
    """One process. `pid` is 0 while there is none; `state` is a word of `life.State`."""

    name: str
    kind: str
    port: int
    state: str
    pid: int = 0
    started_at: float = 0.0
    boot_id: str = ""
    restarts: int = 0
    last_exit: int | None = None
    log: str = ""
    # Last lines of its log, for a failed process only: they may hold anything, so they are kept to what is needed.
    log_tail: list[str] = field(default_factory=list)


@dataclass
class PlatformState:
    """The whole platform. (`pid`, `started_at`) is the supervisor: pids are used again, births are not."""

    pid: int
    started_at: float
    rest: str
    grpc: str
    ready: bool = False
    processes: list[ProcessState] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """True when the supervisor that wrote this still runs."""
        return same_process(self.pid, self.started_at)


def same_process(pid: int, started_at: float) -> bool:
    """True when the process with this pid is the one that was born then (clocks of the kernel tick in 10 ms)."""
    born = start_time(pid) if pid else None
    return born is not None and abs(born - started_at) < 0.05


def write_state(path: Path, state: PlatformState) -> None:
    """Beside and renamed: a reader sees the old file or the new one."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(asdict(state), indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)  # noqa: PTH105  the atomic one, by name


def read_state(path: Path) -> PlatformState | None:
    """What was written last; None where nothing was. Raises CliError for a file of another shape."""
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        processes = [ProcessState(**entry) for entry in raw.pop("processes")]
        return PlatformState(**raw, processes=processes)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as problem:
        fix = f"if no headrace runs here, remove {path}"
        raise CliError(f"{path} cannot be read: {problem}", fix) from problem
