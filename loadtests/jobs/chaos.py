"""What is killed when: consumers, gateways, workers and brokers, each started again at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from loadtests.common.stack import Stack
from tools.kafka_node import KafkaCluster

# One process at a time may be away, and its kind needs a moment to come back before the next blow.
APART_SECONDS_MIN = 1.0


@dataclass
class Chaos:
    """Kills processes of one stack and nodes of one cluster with SIGKILL, in an order that a seed decides."""

    stack: Stack
    cluster: KafkaCluster | None
    rng: random.Random
    killed: Counter[str] = field(default_factory=Counter)

    def victims(self) -> list[str]:
        """Names of the processes that may be killed: no store, no router."""
        kinds = ("jobs", "gateway", "inference")
        return [name for name in self.stack.processes if name.partition("-")[0] in kinds]

    async def strike(self, kills: int, broker_kills: int, progress: Callable[[], float]) -> None:
        """Spreads the blows over the work: the next one is due when `progress` (0 to 1) has come so far."""
        blows = ["process"] * kills + ["broker"] * broker_kills
        self.rng.shuffle(blows)
        for number, blow in enumerate(blows):
            due = (number + self.rng.random()) / len(blows)
            while progress() < due:  # noqa: ASYNC110 - it is others' work that is looked at
                await asyncio.sleep(0.1)
            began = time.monotonic()
            await (self._broker() if blow == "broker" else self._process())
            await asyncio.sleep(max(0.0, APART_SECONDS_MIN - (time.monotonic() - began)))

    async def _process(self) -> None:
        name = self.rng.choice(self.victims())
        await asyncio.to_thread(self.stack.kill, name)
        self.killed[name.partition("-")[0]] += 1
        self.stack.start(name)

    async def _broker(self) -> None:
        """One of three: with two left in sync every acknowledged record stands."""
        if self.cluster is None:
            return
        node = self.rng.randrange(3)
        await asyncio.to_thread(self.cluster.kill, node)
        self.killed["broker"] += 1
        await asyncio.to_thread(self.cluster.start, node)
