"""CPU per command of libs.valkey against redis-py's asyncio client, for 1, 4, 16 and 64 commands in one tick.

`link`: libs.valkey.Valkey, one pipelined connection. `pipeline`: redis-py (with hiredis), one pipeline and one execute
for all that is asked in a tick. `single`: redis-py, one command per
caller on a connection pool, as most code does it. All against one Valkey on a unix socket on core 1, this process on
core 0; a command is `GET` of a 20-byte value. Each round runs every client at every width, in random order; a width is
so many callers, each a task, that ask in the same tick. CPU is this process's own (user + system), per command;
figures are medians over rounds, with the ratio to `link`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import uvloop
from redis.asyncio import Redis

from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey, ValkeySettings
from loadtests.common.report import emit, median

WIDTHS = (1, 4, 16, 64)
COMMAND = ("GET", "key")
# Runs a tick's worth of commands.
Tick = Callable[[int], Awaitable[Any]]


class PerTick:
    """Commands of one tick in one pipeline of redis-py; the next one begins when it is answered."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._pending: list[tuple[tuple[Any, ...], asyncio.Future[Any]]] = []
        self._running: asyncio.Task[None] | None = None

    async def command(self, *args: Any) -> Any:
        """The reply to one command."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._pending.append((args, future))
        if self._running is None:
            self._running = loop.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        while self._pending:
            sent, self._pending = self._pending, []
            batch = self._client.pipeline(transaction=False)
            for args, _ in sent:
                batch.execute_command(*args)
            for (_, future), reply in zip(sent, await batch.execute(raise_on_error=False), strict=True):
                future.set_result(reply)
        self._running = None


def tick_of(command: Callable[..., Awaitable[Any]]) -> Tick:
    """So many callers, each awaiting a command of its own."""

    async def tick(width: int) -> None:
        await asyncio.gather(*(command(*COMMAND) for _ in range(width)))

    return tick


async def cost(tick: Tick, width: int, commands: int) -> dict[str, float]:
    """CPU and time per command in microseconds."""
    for _ in range(20):
        await tick(width)
    ticks = max(1, commands // width)
    began, used = time.perf_counter(), time.process_time()
    for _ in range(ticks):
        await tick(width)
    used, took = time.process_time() - used, time.perf_counter() - began
    return {"cpu_us": 1e6 * used / (ticks * width), "wall_us": 1e6 * took / (ticks * width)}


async def measure(settings: ValkeySettings, rounds: int, commands: int) -> list[dict[str, dict[int, dict[str, float]]]]:
    """All rounds: by client and width."""
    async with AsyncExitStack() as stack:
        valkey = Valkey(settings)
        stack.push_async_callback(valkey.close)
        client = Redis.from_url(settings.url, protocol=2, decode_responses=False)
        stack.push_async_callback(client.aclose)
        await valkey.command("SET", "key", "x" * 20)
        commands_of = {"link": valkey.command, "pipeline": PerTick(client).command, "single": client.execute_command}
        ticks = {name: tick_of(command) for name, command in commands_of.items()}
        found = []
        for _ in range(rounds):
            this: dict[str, dict[int, dict[str, float]]] = {name: {} for name in ticks}
            cases = [(name, width) for name in ticks for width in WIDTHS]
            for name, width in random.sample(cases, len(cases)):
                this[name][width] = await cost(ticks[name], width, commands)
            found.append(this)
        return found


def summary(rounds: list[dict[str, dict[int, dict[str, float]]]]) -> dict[str, Any]:
    """Medians by client and width, and ratios to `link`."""
    out: dict[str, Any] = {}
    for width in WIDTHS:
        cpu = {name: median([one[name][width]["cpu_us"] for one in rounds]) for name in rounds[0]}
        out[str(width)] = {
            "cpu_us": cpu,
            "ratio": {name: value / cpu["link"] for name, value in cpu.items() if name != "link"},
            "wall_us": {name: median([one[name][width]["wall_us"] for one in rounds]) for name in rounds[0]},
        }
    return out


def main() -> None:
    """Entry point: `python -m loadtests.store_client --rounds 7`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--commands", type=int, default=20_000, help="per client, width and round")
    parser.add_argument("--out")
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})  # where the store begins, it stays
    with ValkeyProcess() as store:
        os.sched_setaffinity(0, {cores[0]})
        rounds = uvloop.run(measure(store.settings(op_timeout_ms=2000), args.rounds, args.commands))
    emit("store_client", {"by_commands_in_a_tick": summary(rounds), "rounds": rounds}, args.out)


if __name__ == "__main__":
    main()
