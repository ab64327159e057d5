"""A store with a history of accounts and calls, and how it is published."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from libs.clock import SystemClock
from libs.kafka import TopicSpec
from libs.kafka.producer import IdempotentProducer
from libs.testing.brokers import BrokerProcess
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.gateway.adapters.accounts.valkey import ValkeyAccounts
from services.gateway.adapters.ledger.outbox import ValkeyOutbox
from services.gateway.adapters.ledger.replay import LedgerReplay
from services.gateway.adapters.ledger.spend import ValkeySpend
from services.gateway.adapters.ledger.store import LeaseTimes, ValkeyLedger
from services.gateway.adapters.usage_topic import TOPIC, UsageTopic
from services.gateway.domain.accounts.records import Budget, Change, Key, Kind, Limits, Price, Tenant, User
from services.gateway.domain.accounts.spend import Dimension
from services.gateway.domain.ledger.types import Ask, End, Outcome, Progress, Settlement, UsageMeta
from services.gateway.usecases.outbox import OutboxRelay
from tests.unit.services.gateway.usecases.outbox_world import Noted

TENANTS = ("acme", "globex")


class Store:
    """One store and everything that is asked of it here."""

    def __init__(self, valkey: Valkey) -> None:
        self.valkey = valkey
        self.accounts, self.ledger = ValkeyAccounts(valkey), ValkeyLedger(valkey, LeaseTimes())
        self.outbox, self.replay, self.spend = ValkeyOutbox(valkey), LedgerReplay(valkey), ValkeySpend(valkey)

    async def everything(self) -> dict[str, object]:
        """What a rebuilt store must have in common with the one it comes from."""
        found: dict[str, object] = {}
        for tenant in TENANTS:
            totals = await self.replay.dump(tenant)
            found[f"totals {tenant}"] = {
                scope: (each.settled, {name: window[:2] for name, window in each.windows.items()})
                for scope, each in totals.items()
                if each.settled or each.windows
            }
            for kind in (Kind.TENANT, Kind.USER, Kind.KEY):
                found[f"{kind} {tenant}"] = await self.accounts.list(kind, tenant)
            for dimension in Dimension:
                found[f"days {tenant} {dimension}"] = await self.spend.by(tenant, dimension, *days())
        found["prices"] = await self.accounts.list(Kind.PRICE, "")
        return found


def days() -> tuple[str, str]:
    today = datetime.now(UTC)
    return (today - timedelta(days=1)).date().isoformat(), (today + timedelta(days=1)).date().isoformat()


@asynccontextmanager
async def opened(process: ValkeyProcess) -> AsyncIterator[Store]:
    valkey = Valkey(process.settings(op_timeout_ms=5_000))
    try:
        yield Store(valkey)
    finally:
        await valkey.close()


async def change(store: Store, before: object, after: object) -> None:
    record = after or before
    kind = {Tenant: Kind.TENANT, User: Kind.USER, Key: Kind.KEY, Price: Kind.PRICE}[type(record)]
    name = record.model if kind is Kind.PRICE else record.id
    tenant = "" if kind is Kind.PRICE else record.id if kind is Kind.TENANT else record.tenant
    await store.accounts.change(
        Change(kind=kind, tenant=tenant, id=name, actor="test", at=1_700_000_000.5, before=before, after=after)
    )


def budgets(limit: int) -> Limits:
    monthly = Budget(limit_nanodollars=limit, duration="30d", anchor_at=1_600_000_000.0)
    return Limits(budgets=(monthly, Budget(limit_nanodollars=limit * 10)), tokens_per_minute=10_000_000)


async def people(store: Store) -> None:
    """Accounts with a history: made, changed, deleted."""
    await change(store, None, Price(model="m", input_nanodollars=1, cached_nanodollars=1, output_nanodollars=2))
    for tenant in TENANTS:
        first = Tenant(id=tenant, limits=budgets(1_000_000))
        await change(store, None, first)
        await change(store, first, Tenant(id=tenant, limits=budgets(2_000_000), name="renamed"))
        await change(store, None, User(tenant=tenant, id="ada", limits=budgets(900_000)))
        for key in ("k1", "k2", "gone"):
            await change(store, None, Key(tenant=tenant, id=key, hmac=f"{tenant}-{key}", user="ada"))
        await change(store, Key(tenant=tenant, id="gone", hmac=f"{tenant}-gone", user="ada"), None)


def ask(tenant: str, number: int, amount: int, key: str = "k1") -> Ask:
    meta = UsageMeta(key, "ada", "eve", "m", f"s{number % 3}", f"s{number % 3}", {"team": "red"}, 1, 1, 2)
    scopes = ("t", "u:ada", f"k:{key}", f"s:s{number % 3}")
    return Ask(tenant, f"req-{tenant}-{number}", scopes, amount, 100, meta, Progress(amount // 2, 10))


async def traffic(store: Store, calls: int, seed: int, first: int = 0) -> None:
    """Calls that settle, are refunded or are charged in part."""
    chance, life = random.Random(seed), await store.ledger.hello()
    for number in range(first, first + calls):
        tenant = chance.choice(TENANTS)
        wanted = ask(tenant, number, chance.randrange(100, 2_000), chance.choice(("k1", "k2")))
        reply = await store.ledger.hold(life, wanted, expire=True)
        assert reply.outcome is Outcome.OK
        used = Progress(chance.randrange(0, wanted.amount + 1), 10, 4, chance.randrange(0, 50), 2)
        end = chance.choice((End.SETTLED, End.SETTLED, End.REFUNDED))
        refund = end is End.REFUNDED
        await store.ledger.settle([Settlement(tenant, wanted.request_id, end, Progress() if refund else used, 7)])


def relay(store: Store, broker: BrokerProcess, stack: list[IdempotentProducer], *, durable: bool) -> OutboxRelay:
    producer = IdempotentProducer(broker.settings(), [TopicSpec(TOPIC, 4)])
    stack.append(producer)
    return OutboxRelay(store.outbox, UsageTopic(producer), SystemClock(), Noted(), holder="test", durable=durable)


async def publish(store: Store, broker: BrokerProcess, *, durable: bool) -> None:
    stack: list[IdempotentProducer] = []
    publisher = relay(store, broker, stack, durable=durable)
    try:
        while await publisher.turn():
            pass
    finally:
        await stack[0].close()
