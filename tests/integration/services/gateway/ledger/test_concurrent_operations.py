"""Many clients at once: for every window of operations there is an order that explains all replies."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from loadtests.ledger.books_check import ViolationError
from loadtests.ledger.concurrent import Concurrent, timed_ledger
from loadtests.ledger.runner import outcome_of
from loadtests.ledger.timed import TIMED
from loadtests.ledger.world import TIMES, World
from services.gateway.adapters.ledger.library import prefix_of
from services.gateway.adapters.ledger.replay import LedgerReplay
from services.gateway.adapters.ledger.store import ValkeyLedger
from services.gateway.domain.ledger.scopes import unpack_limits
from services.gateway.domain.ledger.types import Ask, HoldReply, Outcome, Progress, Refusal, UsageMeta


@pytest.fixture(scope="module")
def store():
    with ValkeyProcess() as process:
        yield process


def play(store, clients, each, windows, seed):
    async def main():
        desk = Concurrent(store, World(Random(seed), f"{seed}-{clients}"))
        await desk.open(clients)
        try:
            for _ in range(windows):
                desk.explain(await desk.window(desk.plan(each)))
        finally:
            await desk.close()

    run_real(main())


@pytest.mark.parametrize(("clients", "each"), [(48, 1), (16, 3), (5, 10)])
@pytest.mark.parametrize("seed", range(3))
def test_an_order_explains_what_concurrent_clients_were_replied(store, clients, each, seed):
    play(store, clients, each, windows=8, seed=seed)


class CheckedThenHeld(ValkeyLedger):
    """What gateways commonly do: read what was spent, decide here, then write."""

    def __init__(self, valkey):
        super().__init__(valkey, TIMES, TIMED)
        self._replay = LedgerReplay(valkey)

    async def hold(self, life, ask, *, expire):
        totals = (await self._replay.dump(ask.tenant)).get("t")
        used = totals.settled + totals.held if totals else 0
        if used + ask.amount > BUDGET:
            return HoldReply(Outcome.NO, refusal=Refusal("held", "t", BUDGET, -1, "total"))
        await self.redeclare(life, ask, 0, ask.prompt)
        return HoldReply(Outcome.OK)


BUDGET = 100


def contend(store, made, tenant):
    """Six clients at once want half of a budget each; an order must explain who got it."""

    async def main():
        desk = Concurrent(store, World(Random(1), tenant), made)
        await desk.open(6)
        limits = msgspec.msgpack.encode({"b": [["total", 0, BUDGET, -1, 0]]})
        for scope in ("t", "k:1"):
            desk.books.limits[scope] = unpack_limits(limits)
            desk.pipe.now(("HSET", f"{prefix_of(tenant)}:{scope}", "lim", limits))
        meta = UsageMeta("1", "", "", "small", "", "", {}, 1, 1, 1)
        asks = [Ask(tenant, f"r{at}", ("t", "k:1"), BUDGET // 2, 0, meta, Progress()) for at in range(6)]
        try:
            calls = await desk.window([[desk.world.hold(ask, expire=False)] for ask in asks])
            desk.explain(calls, same=lambda due, found: outcome_of(due) == outcome_of(found))
        finally:
            await desk.close()

    run_real(main())


def test_one_function_in_the_store_lets_two_of_six_have_it(store):
    contend(store, timed_ledger, "one-function")


def test_a_check_before_the_write_is_found_out(store):
    with pytest.raises(ViolationError, match="no order of these 6 operations"):
        contend(store, CheckedThenHeld, "check-then-write")
