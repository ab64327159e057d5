"""Requests to replay: the published trace and what is derived from it.

Sessions are derived where a trace has none: a request continues the latest earlier one all of whose blocks but the last
(which was not full, or held the question) are this one's prefix, when that is more than the blocks which the whole
trace shares. Everything else opens a session.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLOCK_TOKENS = 512
_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One call. `blocks`: hashes of its prompt's blocks, each standing for all before it; times in milliseconds.

    As in the published traces the last block counts as a block although it may not be full.
    """

    number: int
    arrival_ms: float
    input_tokens: int
    output_tokens: int
    blocks: tuple[int, ...]
    hashes: NDArray[np.uint64]
    session: str = ""
    root_session: str = ""
    tenant: str = "acme"


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests by arrival, and where they are from."""

    name: str
    requests: tuple[Request, ...]

    @property
    def blocks(self) -> int:
        """Prompt blocks over all requests."""
        return sum(len(request.blocks) for request in self.requests)


def hashed(ids: Sequence[int], salt: int = 0) -> NDArray[np.uint64]:
    """64-bit hashes that look like the platform's block hashes, one per id (the finaliser of SplitMix64)."""
    with np.errstate(over="ignore"):
        mixed = np.asarray(ids, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(salt * 2 + 1)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(_MIX_1)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(_MIX_2)
        return mixed ^ (mixed >> np.uint64(31))


def request(number: int, arrival_ms: float, tokens: tuple[int, int], ids: Sequence[int], salt: int = 0) -> Request:
    """A request whose blocks have the trace's `ids`; `tokens` = (input, output)."""
    hashes = hashed(ids, salt)
    return Request(number, arrival_ms, tokens[0], tokens[1], tuple(hashes.tolist()), hashes)


def load(path: Path, salt: int = 0) -> Trace:
    """A trace of JSON lines with `timestamp` (ms), `input_length`, `output_length` (tokens) and `hash_ids`."""
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    made = (
        request(number, row["timestamp"], (row["input_length"], max(1, row["output_length"])), row["hash_ids"], salt)
        for number, row in enumerate(rows)
    )
    return Trace(path.stem, tuple(with_sessions(list(made))))


def with_sessions(requests: list[Request]) -> list[Request]:
    """The same requests, each with the session it continues (see above)."""
    shared = _shared_by_all(requests)
    latest: dict[int, str] = {}  # last block but one of a session's newest request → the session
    found = []
    for item in requests:
        full = item.blocks[:-1]
        known = next((latest[block] for block in reversed(full[shared:]) if block in latest), "")
        session = known or f"session-{item.number}"
        if len(full) > shared:
            latest[full[-1]] = session
        found.append(replace(item, session=session))
    return found


def _shared_by_all(requests: Sequence[Request]) -> int:
    """How many leading blocks all requests have in common."""
    shortest = min(len(item.blocks) for item in requests)
    first = requests[0].blocks
    return next((i for i in range(shortest) if any(item.blocks[i] != first[i] for item in requests)), shortest)


def spread(trace: Trace, seed: int, speed: float = 1.0) -> Trace:
    """Arrivals spread between the trace's coarse timestamps, order kept, then `speed` times as fast.

    The published trace is stamped every 3 s with ten calls at once; each gets a uniform place in its interval.
    """
    rng = random.Random(seed)
    stamps = sorted({item.arrival_ms for item in trace.requests})
    gaps = [b - a for a, b in itertools.pairwise(stamps)]
    gap = dict(zip(stamps, [*gaps, 3000.0], strict=True))
    times = sorted(item.arrival_ms + rng.random() * gap[item.arrival_ms] for item in trace.requests)
    moved = (replace(item, arrival_ms=at / speed) for item, at in zip(trace.requests, times, strict=True))
    return Trace(trace.name, tuple(moved))


def part(trace: Trace, begin: float, end: float) -> Trace:
    """The requests between two shares of the trace, numbered and timed from 0."""
    count = len(trace.requests)
    chosen = trace.requests[int(begin * count) : int(end * count)]
    origin = chosen[0].arrival_ms
    moved = (replace(item, number=n, arrival_ms=item.arrival_ms - origin) for n, item in enumerate(chosen))
    return Trace(f"{trace.name}[{begin:g}:{end:g}]", tuple(moved))


def merged(name: str, *parts: Iterable[Request]) -> Trace:
    """Several streams of requests as one, by arrival."""
    ordered = sorted((item for some in parts for item in some), key=lambda item: item.arrival_ms)
    return Trace(name, tuple(replace(item, number=n) for n, item in enumerate(ordered)))


def ceiling(trace: Trace) -> float:
    """Share of blocks that one cache without bounds, shared by all workers, would have had: nothing can beat it."""
    seen: set[int] = set()
    hits = 0
    for item in trace.requests:
        hits += next((n for n, block in enumerate(item.blocks) if block not in seen), len(item.blocks))
        seen.update(item.blocks)
    return hits / trace.blocks
