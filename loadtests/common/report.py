"""How a measurement prints: one JSON document, medians and ratios, the machine and the commit beside them."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def median(values: Sequence[float]) -> float:
    """Median; NaN when there is nothing."""
    return statistics.median(values) if values else float("nan")


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest value with at least the share `q` of all at or below it; NaN when there is nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(q * 10_000) * len(ordered) // 10_000) - 1))]


def commit() -> str:
    """Short hash of what was measured, "+" when the tree was not clean."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def emit(name: str, result: dict[str, Any], out: str | None) -> None:
    """Prints the result as JSON and writes it to `out` (default loadtests/out/<name>.json)."""
    document = {
        "measurement": name,
        "commit": commit(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        **result,
    }
    path = Path(out) if out else Path(__file__).resolve().parents[1] / "out" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1)
    path.write_text(text + "\n")
    print(text)
