"""Random hold, extend, settle, refund, expire and reserve on the model and a real store, which is killed among them.

`python -m loadtests.ledger_ops --operations 1000000 --seed 1` prints JSON; it exits 1 on a violation. Two
kinds of episodes: one client whose every reply and whose books are compared with the model, the store killed while
operations are under way; and windows of 48 concurrent operations, for each of which an order must explain all replies.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from random import Random
from typing import Any

from libs.testing.valkey import ValkeyProcess
from loadtests.common.report import emit
from loadtests.ledger.books_check import ViolationError
from loadtests.ledger.campaign import Plan, run
from loadtests.ledger.concurrent import Concurrent
from loadtests.ledger.runner import Tally
from loadtests.ledger.world import World

_CLIENTS, _EACH, _WINDOWS = (48, 16, 6), (1, 3, 8), 40


async def _windows(operations: int, seed: int) -> dict[str, int]:
    """Plays windows until so many operations were concurrent. Raises ViolationError."""
    done = windows = number = 0
    while done < operations:
        with ValkeyProcess() as store:
            for clients, each in zip(_CLIENTS, _EACH, strict=True):
                world = World(Random(f"{seed}-{number}"), f"w{number}")
                done += await _tenant(store, world, clients, each)
                windows, number = windows + _WINDOWS, number + 1
    return {"operations": done, "windows": windows}


async def _tenant(store: ValkeyProcess, world: World, clients: int, each: int) -> int:
    desk = Concurrent(store, world)
    await desk.open(clients)
    done = 0
    try:
        for _ in range(_WINDOWS):
            calls = await desk.window(desk.plan(each))
            desk.explain(calls)
            done += len(calls)
    finally:
        await desk.close()
    return done


def measure(operations: int, seed: int, crashes: int, batch: int) -> dict[str, Any]:
    """What was played and what came of it; "violation" says what was wrong, if anything was."""
    began, cpu, tally = time.monotonic(), time.process_time(), Tally()
    concurrent: dict[str, int] = {}
    violation = ""
    plan = Plan(operations - operations // 10, seed, batch=batch, crashes_per_episode=crashes)
    try:
        run(plan, tally=tally)
        concurrent = asyncio.run(_windows(operations // 10, seed))
    except ViolationError as problem:
        violation = str(problem)
    return {
        "seed": seed,
        "operations": sum(tally.operations.values()) + concurrent.get("operations", 0),
        "by_kind": dict(sorted(tally.operations.items())),
        "crashes": tally.crashes,
        "crashes_with_operations_done_unanswered": tally.torn,
        "concurrent": concurrent,
        "violations": 1 if violation else 0,
        "violation": violation,
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--crashes", type=int, default=1, help="kills of the store per episode of 500 operations")
    parser.add_argument("--batch", type=int, default=20, help="operations in one write, after which all is compared")
    parser.add_argument("--out")
    args = parser.parse_args()
    result = measure(args.operations, args.seed, args.crashes, args.batch)
    emit("ledger_ops", result, args.out)
    sys.exit(result["violations"])


if __name__ == "__main__":
    main()
