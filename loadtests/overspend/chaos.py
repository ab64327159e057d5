"""What is killed when: gateways and the store, each started again at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from loadtests.common.stack import Stack, gateway_name

# A gateway and the store lost within this time are two failures at once, which a store that syncs every second does
# not promise to survive.
APART_SECONDS = 3.0
STORE = "valkey"


@dataclass(frozen=True)
class Blow:
    """At `after` seconds into a seed, these processes are killed together."""

    after: float
    names: tuple[str, ...]


def plan(rng: random.Random, gateways: int, blows: int, *, both_at_once: bool) -> list[Blow]:
    """Blows that are far enough apart from each other."""
    found, at = [], rng.uniform(0.3, 2.0)
    for _ in range(blows):
        gateway = gateway_name(rng.randrange(gateways))
        one = STORE if rng.random() < 0.5 else gateway
        found.append(Blow(at, (gateway, STORE) if both_at_once else (one,)))
        at += APART_SECONDS + rng.uniform(0.0, 1.5)
    return found


@dataclass
class Chaos:
    """Kills processes of one stack, seed after seed."""

    stack: Stack
    killed: Counter[str] = field(default_factory=Counter)
    _last: float = float("-inf")

    async def strike(self, blows: list[Blow]) -> None:
        """Carries out a plan, from now on; what it kills is being started when this returns."""
        began = time.monotonic()
        for blow in blows:
            due = max(began + blow.after, self._last + APART_SECONDS)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._kill(blow.names)
            self._last = time.monotonic()

    def _kill(self, names: tuple[str, ...]) -> None:
        for name in names:
            self.stack.processes[name].popen.kill()
        for name in names:
            self.stack.kill(name)  # waits for its end
            self.killed["store" if name == STORE else "gateway"] += 1
            self._start(name)

    def _start(self, name: str) -> None:
        if name == STORE:
            self.stack.start_store()
        else:
            self.stack.start_gateway(int(name.partition("-")[2] or 0))
