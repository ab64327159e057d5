"""What is killed when: gateways and the store, each started again at once."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.common.stack import Stack, gateway_name

# A gateway and the store lost within this time are two failures at once, which a store that syncs every second does
# not promise to survive.
APART_SECONDS = 3.0
STORE = "valkey"
_NOTED_EVERY_SECONDS = 0.05
_NOTED = 200
# The store's start, and its gateways' wait for each other.
_DECLARING_SECONDS = 6.0


@dataclass(frozen=True)
class Blow:
    """At `after` seconds into a seed, these processes are killed together.

    `lost_seconds`: the store's log loses what was written in so many last seconds, as when its machine is lost.
    """

    after: float
    names: tuple[str, ...]
    lost_seconds: float = 0.0


def plan(rng: random.Random, gateways: int, blows: int, *, both_at_once: bool) -> list[Blow]:
    """Processes are killed, far enough apart from each other."""
    found, at = [], rng.uniform(0.3, 2.0)
    for _ in range(blows):
        gateway = gateway_name(rng.randrange(gateways))
        one = STORE if rng.random() < 0.5 else gateway
        found.append(Blow(at, (gateway, STORE) if both_at_once else (one,)))
        at += APART_SECONDS + rng.uniform(0.0, 1.5)
    return found


def machine_plan(rng: random.Random, blows: int) -> list[Blow]:
    """The store's machine is lost, up to two seconds of its log with it.

    Not before the tenant is surely on the disk: what a lost second did to accounts is another question.
    """
    found, at = [], 2.5 + rng.uniform(0.0, 1.0)
    for _ in range(blows):
        found.append(Blow(at, (STORE,), rng.uniform(0.2, 2.0)))
        at += APART_SECONDS + rng.uniform(1.5, 3.0)
    return found


@dataclass
class Chaos:
    """Kills processes of one stack, seed after seed."""

    stack: Stack
    killed: Counter[str] = field(default_factory=Counter)
    lost_bytes: int = 0
    _last: float = float("-inf")
    _lost_at: float = float("-inf")
    # (monotonic seconds, file, bytes) of the store's log.
    _log: deque[tuple[float, Path, int]] = field(default_factory=lambda: deque(maxlen=_NOTED))

    async def strike(self, blows: list[Blow]) -> None:
        """Carries out a plan, from now on; what it kills is being started when this returns."""
        began = time.monotonic()
        for blow in blows:
            due = max(began + blow.after, self._last + APART_SECONDS)
            while (left := due - time.monotonic()) > 0:
                self._note_log()
                await asyncio.sleep(min(left, _NOTED_EVERY_SECONDS))
            self._kill(blow)
            self._last = time.monotonic()

    def declaring(self) -> bool:
        """Whether the store may just be told of what it has lost."""
        return time.monotonic() < self._lost_at + _DECLARING_SECONDS

    def _kill(self, blow: Blow) -> None:
        at = time.monotonic()
        for name in blow.names:
            self.stack.processes[name].popen.kill()
        for name in blow.names:
            self.stack.kill(name)  # waits for its end
            self.killed["store" if name == STORE else "gateway"] += 1
            if name == STORE and blow.lost_seconds:
                self._lose(at - blow.lost_seconds)
            self._start(name)

    def _start(self, name: str) -> None:
        if name == STORE:
            self.stack.start_store()
        else:
            self.stack.start_gateway(int(name.partition("-")[2] or 0))

    def _note_log(self) -> None:
        path = self._log_file()
        self._log.append((time.monotonic(), path, path.stat().st_size))

    def _log_file(self) -> Path:
        """The part of the append-only file that is being written."""
        return max((self.stack.directory / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)

    def _lose(self, since: float) -> None:
        """Takes off the log what came after that moment, wherever that is within a command."""
        path = self._log_file()
        kept = [size for at, file, size in self._log if at <= since and file == path]
        if not kept:
            raise RuntimeError(f"the store's log was not watched for long enough to lose its end: {path}")
        self.lost_bytes += path.stat().st_size - kept[-1]
        os.truncate(path, kept[-1])
        self._lost_at = time.monotonic()
