"""The first promise on other data than the trace itself: parts of it, other hashes, other arrivals, more and fewer
workers, and a made-up trace of few hot prefixes with long tails of their own.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from loadtests.replay.synthetic import agents
from loadtests.replay.trace import Request, Trace, hashed, part, request, spread


def salted(trace: Trace, salt: int) -> Trace:
    """The same requests with other hashes."""
    known: dict[int, int] = {}

    def other(item: Request) -> Request:
        ids = [known.setdefault(block, len(known)) for block in item.blocks]
        hashes = hashed(ids, salt)
        return replace(item, blocks=tuple(hashes.tolist()), hashes=hashes)

    return Trace(f"{trace.name}#{salt}", tuple(map(other, trace.requests)))


def tools(seed: int, *, calls: int = 12_000, rate: float = 4.0, systems: int = 40) -> Trace:
    """Calls that share one of a few prefixes, by popularity, and have the rest for themselves; stamped every 3 s."""
    rng = random.Random(seed)
    fresh = iter(range(1, 1 << 40))
    prefixes = [[next(fresh) for _ in range(rng.randint(2, 14))] for _ in range(systems)]
    weights = [1 / (rank + 1) for rank in range(systems)]
    at, made = 0.0, []
    for number in range(calls):
        at += rng.expovariate(rate) * 1000
        ids = rng.choices(prefixes, weights)[0] + [next(fresh) for _ in range(rng.randint(1, 24))]
        tokens = (len(ids) * 512 - rng.randrange(512), rng.randint(20, 400))
        made.append(request(number, at - at % 3000.0, tokens, ids, seed))
    return Trace(f"tools-{seed}", tuple(made))


def cases(base: Trace) -> dict[str, tuple[Callable[[], Trace], int]]:
    """By name: the trace, and on how many workers. All caches are without a bound."""
    return {
        "as it is": (lambda: base, 8),
        "first half": (lambda: part(base, 0.0, 0.5), 8),
        "second half": (lambda: part(base, 0.5, 1.0), 8),
        "other hashes": (lambda: salted(base, 17), 8),
        "spread": (lambda: spread(base, 5), 8),
        "twice as fast": (lambda: spread(base, 5, 2.0), 8),
        "4 workers": (lambda: base, 4),
        "16 workers": (lambda: base, 16),
        "few hot prefixes": (lambda: tools(3), 8),
        "agents": (lambda: agents(3), 8),
    }
