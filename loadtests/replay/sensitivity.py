"""The router with other settings: what each one does, and how far its default is from a cliff."""

from __future__ import annotations

from functools import partial

from loadtests.replay.policies.headrace import Headrace, settings_with
from loadtests.replay.rules import OURS, Make

GRID: dict[str, tuple[float, ...]] = {
    "queue_share": (1.0, 0.5, 0.33, 0.25, 0.16, 0.125, 0.08, 0.0),
    "balance_share": (0.0, 0.002, 0.01, 0.02, 0.05),
    "load_factor": (1.0, 2.0, 1000.0),
    "running_tokens": (0.0, 64.0),
    "expected_seconds": (1.0, 60.0),
}


def variants() -> dict[str, Make]:
    """By name, the default first."""
    made: dict[str, Make] = {OURS: Headrace}
    for field, values in GRID.items():
        for value in values:
            made[f"{field}={value:g}"] = partial(Headrace, settings=settings_with(**{field: value}))
    return made
