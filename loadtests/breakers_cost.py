"""CPU that breakers add to a call, and what one look of the watchdog costs, in one process and without transport.

`call`: admitted, opened, first delta, ended well. `look`: one look at so many open streams, all of which have got
tokens since the last one; there are ten a second.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from timeit import repeat

from libs.clock import SystemClock
from libs.resilience.breaker import BreakerRule
from loadtests.common.report import emit, median
from services.gateway.domain.delivered import Delivered
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.plan import Candidate
from services.gateway.usecases.breakers import Breakers
from services.gateway.usecases.watchdog import Watchdog, WatchRule

INFO = ModelInfo("m", "m", "digest", "tokenizer", 4096)
CANDIDATE = Candidate("worker", "127.0.0.1:1", "boot", "digest")


def cpu_us(work: Callable[[], object], number: int) -> float:
    """Median CPU microseconds of one `work`."""
    return 1e6 * median(repeat(work, number=number, repeat=9, timer=time.process_time)) / number


def _nothing() -> None:
    return


async def _lives(address: str, boot_id: str) -> bool:
    del address, boot_id
    return True


def call_us() -> float:
    """Of one call."""
    breakers, delivered = Breakers(SystemClock(), BreakerRule()), Delivered(1)

    def call() -> None:
        flight = breakers.admit(INFO, CANDIDATE)
        if flight is not None:
            breakers.opened(flight, delivered, _nothing, 100)
            flight.began(time.monotonic())
            breakers.ended(flight, whole=True)

    return cpu_us(call, 20_000)


def look_us(streams: int) -> float:
    """Of one look at so many streams."""
    breakers, clock = Breakers(SystemClock(), BreakerRule()), SystemClock()
    accounts = [Delivered(1, 10**9) for _ in range(streams)]
    for account in accounts:
        flight = breakers.admit(INFO, CANDIDATE)
        if flight is not None:
            breakers.opened(flight, account, _nothing, 100)
            flight.began(time.monotonic())
    watchdog = Watchdog(breakers, _lives, clock, WatchRule())

    def tokens() -> None:
        for account in accounts:
            account.room -= 1

    def look() -> None:
        tokens()
        watchdog.look()

    return cpu_us(look, 50) - cpu_us(tokens, 50)


def main() -> None:
    """Entry point: `python -m loadtests.breakers_cost`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out")
    args = parser.parse_args()
    looks = {str(streams): look_us(streams) for streams in (50, 500)}
    emit("breakers_cost", {"call_us": call_us(), "look_us_by_streams": looks}, args.out)


if __name__ == "__main__":
    main()
