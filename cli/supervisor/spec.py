"""What the supervisor is told of a process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["store", "broker", "router", "gateway", "jobs", "worker"]

# Asks a process whether it serves; never raises. The second value is its boot id, "" where it has none.
Probe = Callable[[], Awaitable[tuple[bool, str]]]

# Order of a stop: jobs first, which would go on asking a gateway that leaves; then the door and those behind it; the
# store last because all of them write to it.
DRAIN_ORDER: tuple[Kind, ...] = ("jobs", "gateway", "worker", "router", "broker", "store")
# Without the broker everything is served, and usage waits in the store; without jobs, long work waits there.
NEEDED: tuple[Kind, ...] = ("gateway", "worker", "router", "store")


@dataclass(frozen=True)
class ProcessSpec:
    """One process. `after` names a process that must have answered once (or be given up) before the first start."""

    name: str
    kind: Kind
    argv: tuple[str, ...]
    port: int
    probe: Probe
    environment: Mapping[str, str] = field(default_factory=dict)
    after: str = ""
    # From SIGTERM to SIGKILL.
    grace_seconds: float = 10.0
