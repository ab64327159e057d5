"""Worker shapes as words: `--workers 2`, `small=2`, `small=1,large=1`, `small+large=2`."""

from __future__ import annotations

import re

from cli.errors import CliError

POOLS = ("small", "large")
WORKERS_MAX = 64

_PART = re.compile(r"(?P<pools>[a-z0-9_.-]+(?:\+[a-z0-9_.-]+)*)=(?P<count>\d+)", re.IGNORECASE)


def parse_shape(text: str) -> list[tuple[str, ...]]:
    """The pools of each worker, in order. A bare number gives workers that serve every pool. Raises CliError."""
    shape = _workers(text.strip())
    if not 1 <= len(shape) <= WORKERS_MAX:
        raise _bad(text, f"it asks for {len(shape)} workers")
    return shape


def _workers(text: str) -> list[tuple[str, ...]]:
    if text.isdecimal():
        return [POOLS] * min(int(text), WORKERS_MAX + 1)
    shape: list[tuple[str, ...]] = []
    for part in text.split(","):
        found = _PART.fullmatch(part.strip())
        if found is None:
            raise _bad(text, f"{part.strip()!r} is no POOL=COUNT")
        pools = tuple(found["pools"].split("+"))
        shape += [pools] * min(int(found["count"]), WORKERS_MAX + 1)
    return shape


def _bad(text: str, why: str) -> CliError:
    fix = f"give a number (2) or pools with counts (small=2 or small=1,large=1), 1 to {WORKERS_MAX} workers in all"
    return CliError(f"--workers {text!r} cannot be used: {why}", fix, code=2)
