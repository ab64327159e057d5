"""Microseconds that the store itself needs for each of the ledger's functions, by the number of scopes.

`python -m loadtests.ledger.speed` prints the median and the least of the rounds, from the store's own
count of the time in each command (INFO commandstats), client and network apart.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from libs.testing.valkey import ValkeyProcess
from loadtests.common.report import emit, median
from loadtests.ledger.pipe import Pipe
from services.gateway.adapters.ledger.library import LEDGER, prefix_of
from services.gateway.adapters.ledger.store import LeaseTimes, ValkeyLedger
from services.gateway.domain.ledger.types import Ask, Progress, Settlement, UsageMeta

SCOPES = ("t", "k:1", "u:ada", "s:root")
_AMPLE = 10**12
_LIMITS = {
    "rpm": 100_000_000,
    "tpm": 100_000_000,
    "par": 1_000_000,
    "ses": _AMPLE,
    "b": [["30d", 30 * 86_400_000_000, _AMPLE, -1, 0], ["total", 0, _AMPLE, _AMPLE, 0]],
}
_USED = Progress(500, 100, 0, 100, 0)
_META = UsageMeta("1", "ada", "", "small", "session", "root", {"team": "blue"}, 100, 10, 300)


def _micros(pipe: Pipe, coroutines: list[Coroutine[Any, Any, Any]]) -> float:
    """Microseconds of one call, as the store counts them."""
    pipe.now(("CONFIG", "RESETSTAT"))
    pipe.run(coroutines)
    (told,) = pipe.now(("INFO", "commandstats"))
    line = next(line for line in told.decode().splitlines() if line.startswith("cmdstat_fcall:"))
    return float(line.split("usec_per_call=")[1].split(",")[0])


def _round(pipe: Pipe, ledger: ValkeyLedger, life: str, name: str, scopes: int, calls: int) -> dict[str, float]:
    asks = [Ask("speed", f"{name}-{at}", SCOPES[:scopes], 1_000, 100, _META, Progress(100, 100)) for at in range(calls)]
    steps: dict[str, Callable[[Ask], Coroutine[Any, Any, Any]]] = {
        "hold": lambda ask: ledger.hold(life, ask, expire=True),
        "extend": lambda ask: ledger.extend(life, ask, 500, 50, _USED),
        "renew": lambda ask: ledger.extend(life, ask, 0, 0, _USED),
        "settle": lambda ask: ledger.settle([Settlement("speed", ask.request_id, progress=_USED)]),
    }
    return {step: _micros(pipe, [call(ask) for ask in asks]) for step, call in steps.items()}


def _summary(micros: list[float]) -> dict[str, float]:
    return {"median": round(median(micros), 1), "least": round(min(micros), 1)}


def measure(rounds: int, calls: int) -> dict[str, dict[str, dict[str, float]]]:
    """By number of scopes and function, microseconds."""
    with ValkeyProcess() as store:
        pipe = Pipe(store.url)
        pipe.load(LEDGER)
        ledger = ValkeyLedger(pipe, LeaseTimes())
        limits = msgspec.msgpack.encode(_LIMITS)
        pipe.now(*(("HSET", f"{prefix_of('speed')}:{scope}", "lim", limits) for scope in SCOPES[:-1]))
        (life,) = pipe.run([ledger.hello()])
        found = {
            scopes: [_round(pipe, ledger, life, f"{scopes}-{at}", scopes, calls) for at in range(rounds)]
            for scopes in (2, 3, 4)
        }
        pipe.close()
    return {
        f"{scopes} scopes": {step: _summary([each[step] for each in told]) for step in told[0]}
        for scopes, told in found.items()
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=1_000)
    parser.add_argument("--out")
    args = parser.parse_args()
    emit("ledger_speed", {"microseconds": measure(args.rounds, args.calls)}, args.out)


if __name__ == "__main__":
    main()
