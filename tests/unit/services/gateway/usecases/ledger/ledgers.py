"""Keepers over one ledger in memory, on virtual time."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from libs.errors import PlatformError
from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from services.gateway.adapters.ledger.memory import MemoryLedger
from services.gateway.domain.accounts.records import Budget, Key, Limits, Tenant
from services.gateway.domain.ledger.limits import scope_limits
from services.gateway.domain.ledger.types import Ask, Progress, Settlement, UsageMeta
from services.gateway.metrics import LedgerMetrics
from services.gateway.usecases.ledger.keeper import KeeperLimits, LedgerKeeper

META = UsageMeta("k1", "", "", "m", "", "", {}, 1_000_000, 1_000_000, 1_000_000)
SCOPES = ("t", "k:k1")


def ask(request_id="r1", amount=100, *, tokens=100, scopes=SCOPES, prompt=10):
    return Ask("acme", request_id, scopes, amount, tokens, META, Progress(prompt, prompt, 0, 0, 0))


def used(tokens, prompt=10):
    return Progress(prompt + tokens, prompt, 0, tokens, 0)


def settled(request_id="r1", tokens=20):
    return Settlement("acme", request_id, progress=used(tokens))


class Books:
    """A ledger of one tenant with a budget, and gateways that keep holds in it."""

    def __init__(self, budget=1000, **limits):
        self.clock = FakeClock()
        self.store = MemoryLedger(self.clock)
        self.limit(budget, **limits)
        self.store.set_limits("acme", "k:k1", scope_limits(Key(tenant="acme", id="k1", hmac="h")))
        self.running = []

    def limit(self, budget, **limits):
        tenant = Tenant(id="acme", limits=Limits(budgets=(Budget(limit_nanodollars=budget),), **limits))
        self.store.set_limits("acme", "t", scope_limits(tenant))

    @property
    def totals(self):
        return self.store.dump("acme")["t"]

    @asynccontextmanager
    async def keeper(self, name="g1", *, opened=True):
        """A gateway's keeper. Leaving the block is a kill -9: nothing is told any more."""
        limits = KeeperLimits()
        keeper = LedgerKeeper(self.store, self.store, self.clock, name, limits, LedgerMetrics(Registry()))
        tasks = [asyncio.create_task(keeper.run()), asyncio.create_task(keeper.lives.follow())]
        try:
            while opened and not keeper.lives.open:
                await asyncio.sleep(0.01)
            yield keeper
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def nothing():
    return Progress()


async def refused(awaitable):
    with pytest.raises(PlatformError) as caught:
        await awaitable
    return caught.value


async def settle_down():
    await asyncio.sleep(0.5)
