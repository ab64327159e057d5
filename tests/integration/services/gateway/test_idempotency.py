"""Two gateways with their own ledgers over one real store: an answer survives its gateway, and is charged once."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from libs.clock import SystemClock
from libs.errors import PlatformError, Reason
from libs.telemetry.metrics import Registry
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.gateway.adapters.accounts.valkey import ValkeyAccounts
from services.gateway.adapters.idempotency import AnswerLimits, ValkeyAnswers
from services.gateway.adapters.ledger.assembly import ledger_parts
from services.gateway.adapters.ledger.replay import LedgerReplay
from services.gateway.adapters.ledger.store import LeaseTimes
from services.gateway.domain.accounts.records import Change, Key, Kind, Tenant
from services.gateway.domain.idempotency import keyed
from services.gateway.usecases.answer_log import LogTimes
from services.gateway.usecases.idempotent import KeyedChat
from services.gateway.usecases.ledger.keeper import KeeperLimits
from services.gateway.usecases.ledger.testing import OnePrice
from services.gateway.usecases.maker import MakerMeans
from tests.unit.services.gateway.usecases.city import about, breaks
from tests.unit.services.gateway.usecases.world import ALICE, Worker, World, ask, tokens, whole

LEASE = 0.5
ANSWER = 40
LIMIT_SECONDS = 30.0


class RealTime(World):
    """The world of the unit tests on the machine's clock, with a ledger in the store."""

    def __init__(self, workers, tmp_path, charges):
        super().__init__(workers, tmp_path)
        self.clock, self.charges = SystemClock(), charges


class Gateway:
    """One gateway; `kill` cuts its way to the store and breaks its calls off, as SIGKILL does."""

    def __init__(self, process, workers, tmp_path, name):
        self.valkey = Valkey(process.settings(op_timeout_ms=1000))
        clock = SystemClock()
        # The ledger's lease is longer, as it is by default.
        self.money = ledger_parts(
            self.valkey, OnePrice(), clock, Registry(), name, LeaseTimes(4 * LEASE, 1.0), KeeperLimits(4 * LEASE)
        )
        self.world = RealTime(workers, tmp_path, self.money.charges)
        self.answers = ValkeyAnswers(self.valkey, AnswerLimits(lease_seconds=LEASE))
        self.claims = []

    async def open_on(self, stack):
        stack.push_async_callback(self.valkey.close)
        await self.valkey.ready()
        await stack.enter_async_context(self.world)
        self._tasks = [
            asyncio.create_task(work) for work in (self.money.keeper.run(), self.money.keeper.lives.follow())
        ]
        stack.push_async_callback(self.stop)
        means = MakerMeans(self.world.pipeline, self.answers, SystemClock(), LogTimes(lease=LEASE, poll=0.02))
        self.keyed = KeyedChat(means, count=self.claims.append)
        stack.push_async_callback(self.keyed.close)

    async def stop(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def open(self, name, *, body=b"body"):
        request = ask(max_tokens=ANSWER)
        deadline = time.monotonic() + LIMIT_SECONDS
        call = keyed("key", "chat", body, request, ALICE)
        return await self.keyed.open(call, request, ALICE, request_id=name, deadline=deadline)

    async def answer(self, name):
        return [event async for batch in (await self.open(name)).events() for event in batch]

    async def kill(self):
        async def dead(*_):
            raise PlatformError(Reason.STORE_UNAVAILABLE, "cut", started=False)

        self.valkey.command = self.valkey.call = dead
        await self.stop()
        await self.keyed.close()

    async def totals(self):
        return (await LedgerReplay(self.valkey).dump("acme"))["t"]


@asynccontextmanager
async def two_gateways(tmp_path, pace):
    worker = Worker("a")
    worker.pace = pace
    with ValkeyProcess() as process:
        async with AsyncExitStack() as stack:
            gateways = [Gateway(process, [worker], tmp_path / name, name) for name in ("one", "two")]
            for gateway in gateways:
                await gateway.open_on(stack)
            accounts = ValkeyAccounts(gateways[0].valkey)
            records = {Kind.TENANT: Tenant(id="acme"), Kind.KEY: Key(tenant="acme", id="key-1", hmac="h")}
            for kind, record in records.items():
                await accounts.change(
                    Change(kind=kind, tenant="acme", id=record.id, actor="test", at=1.0, before=None, after=record)
                )
            yield gateways, worker


async def until(condition):
    end = time.monotonic() + LIMIT_SECONDS
    while not await condition():
        assert time.monotonic() < end, "it never came to it"
        await asyncio.sleep(0.02)


def price(prompt_tokens, cached, completion):
    return 1000 * (prompt_tokens - cached) + 100 * cached + 2000 * completion


@pytest.mark.parametrize("late", [False, True], ids=["within the ledger's lease", "after it"])
def test_an_answer_whose_gateway_is_killed_goes_on_and_is_charged_once(tmp_path, late):
    async def scenario():
        async with two_gateways(tmp_path, pace=0.03) as ((one, two), worker):
            first = asyncio.create_task(breaks(await one.open("r1")))
            await until(lambda: logged(two))
            await one.kill()
            had, _ = await first
            assert had
            if late:
                await until(lambda: expired(two))
            events = await two.answer("r2")
            assert whole(events, ANSWER)
            assert tokens(had) == tokens(events)[: len(tokens(had))]
            assert {request.call_seed for request, _ in worker.requests} == {"r1"}
            assert len(worker.requests[-1][0].resume.choices[0].token_ids) > 0
            end = events[-1]

            async def settled():
                totals = await two.totals()
                return totals.running == 0 and totals.held == 0

            await until(settled)
            whole_price = price(end.prompt_tokens, end.cached_tokens, end.completion_tokens)
            assert (await two.totals()).settled == whole_price
            # Asked for again, it costs nothing.
            assert about(await two.answer("r3")) == about(events)
            assert (await two.totals()).settled == whole_price

    run_real(scenario())


async def logged(gateway):
    """Some of the answer is in the store."""
    slot = keyed("key", "chat", b"body", ask(), ALICE).slot
    return len((await gateway.answers.read(slot, 0, 1)).entries) > 2


async def claimed(gateway):
    return bool(gateway.claims)


async def expired(gateway):
    """Ends what is overdue, as the sweeper does where no worker can say more."""
    await gateway.money.store.expire("acme", 100)
    return (await gateway.totals()).running == 0


def test_a_call_that_follows_goes_on_when_its_gateway_is_killed(tmp_path):
    async def scenario():
        async with two_gateways(tmp_path, pace=0.03) as ((one, two), _):
            first = asyncio.create_task(breaks(await one.open("r1")))
            await until(lambda: logged(two))
            second = asyncio.create_task(two.answer("r2"))
            await until(lambda: claimed(two))
            await one.kill()
            await first
            assert whole(await second, ANSWER)
            assert two.claims == ["running", "taken"]

    run_real(scenario())


def test_of_many_on_both_gateways_one_is_made_and_charged(tmp_path):
    async def scenario():
        async with two_gateways(tmp_path, pace=0.001) as (gateways, worker):
            found = await asyncio.gather(*[gateways[n % 2].answer(f"r{n}") for n in range(20)])
            assert all(about(events) == about(found[0]) for events in found)
            assert len(worker.requests) == 1
            end = found[0][-1]

            async def settled():
                return (await gateways[0].totals()).settled > 0

            await until(settled)
            totals = await gateways[0].totals()
            assert totals.settled == price(end.prompt_tokens, end.cached_tokens, end.completion_tokens)

    run_real(scenario())
