"""From one store over a real broker into an empty store: accounts, sums, budgets, and what they still allow."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from libs.clock import SystemClock
from libs.kafka import Seen, TopicSpec
from libs.kafka.producer import IdempotentProducer
from libs.kafka.reader import TopicReader
from libs.testing.brokers import BrokerProcess, embedded_broker
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.gateway.adapters.accounts.valkey import ValkeyAccounts
from services.gateway.adapters.ledger.outbox import ValkeyOutbox
from services.gateway.adapters.ledger.replay import LedgerReplay
from services.gateway.adapters.ledger.spend import ValkeySpend
from services.gateway.adapters.ledger.store import LeaseTimes, ValkeyLedger
from services.gateway.adapters.outbox_history import OutboxHistory
from services.gateway.adapters.rebuild_target import StoreTarget
from services.gateway.adapters.usage_topic import TOPIC, TopicHistory, UsageTopic
from services.gateway.domain.accounts.records import Budget, Change, Key, Kind, Limits, Price, Tenant, User
from services.gateway.domain.accounts.spend import Dimension
from services.gateway.domain.ledger.types import Ask, End, Outcome, Progress, Settlement, UsageMeta
from services.gateway.ports.usage import UsageHistory
from services.gateway.usecases.outbox import OutboxRelay
from services.gateway.usecases.rebuild import Rebuild, RebuildReport
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


@pytest.fixture
def old() -> Iterator[ValkeyProcess]:
    with ValkeyProcess() as store:
        yield store


@pytest.fixture
def empty() -> Iterator[ValkeyProcess]:
    with ValkeyProcess() as store:
        yield store


@pytest.fixture
def broker() -> Iterator[BrokerProcess]:
    with embedded_broker() as process:
        yield process


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


async def traffic(store: Store, calls: int, seed: int) -> None:
    """Calls that settle, are refunded or are charged in part."""
    chance, life = random.Random(seed), await store.ledger.hello()
    for number in range(calls):
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


async def rebuilt(store: Store, *histories: UsageHistory) -> RebuildReport:
    with Seen() as seen:
        return await Rebuild(histories, StoreTarget(store.valkey), seen).run()


def test_a_rebuilt_store_equals_the_one_it_comes_from(
    old: ValkeyProcess, empty: ValkeyProcess, broker: BrokerProcess
) -> None:
    async def main() -> None:
        async with opened(old) as before, opened(empty) as after:
            await people(before)
            await traffic(before, 150, seed=1)
            await publish(before, broker, durable=False)
            report = await rebuilt(after, TopicHistory(TopicReader(broker.settings())))
            assert report.failures == []
            assert report.differences == []
            assert report.repeats == 0
            assert report.kinds["account"] == 15
            assert await after.everything() == await before.everything()

    run_real(main())


def test_repeats_in_the_topic_and_an_outbox_beside_it_count_once(
    old: ValkeyProcess, empty: ValkeyProcess, broker: BrokerProcess
) -> None:
    async def main() -> None:
        async with opened(old) as before, opened(empty) as after:
            await people(before)
            await traffic(before, 60, seed=2)
            await publish(before, broker, durable=False)
            for tenant in TENANTS:  # as if the relay had died before it could move the cursor
                await before.valkey.command("DEL", f"hr:ledger:{{{tenant}}}:published")
            await publish(before, broker, durable=False)
            histories = (TopicHistory(TopicReader(broker.settings())), OutboxHistory(before.outbox))
            report = await rebuilt(after, *histories)
            assert report.complete
            assert report.repeats > 60
            assert await after.everything() == await before.everything()

    run_real(main())


def test_what_a_durable_broker_has_is_trimmed_and_topic_and_outbox_together_are_whole(
    old: ValkeyProcess, empty: ValkeyProcess, broker: BrokerProcess
) -> None:
    async def main() -> None:
        async with opened(old) as before, opened(empty) as after:
            await people(before)
            await traffic(before, 40, seed=3)
            await publish(before, broker, durable=True)
            assert [await before.outbox.read(tenant, "", 10) for tenant in TENANTS] == [[], []]
            used = ask("acme", 999, 500)
            await before.ledger.hold(await before.ledger.hello(), used, expire=True)
            await before.ledger.settle([Settlement("acme", used.request_id, End.SETTLED, Progress(321))])
            histories = (TopicHistory(TopicReader(broker.settings())), OutboxHistory(before.outbox))
            assert (await rebuilt(after, *histories)).complete
            assert await after.everything() == await before.everything()

    run_real(main())


async def remaining(store: Store, wanted: Ask) -> int | None:
    return (await store.ledger.hold(await store.ledger.hello(), wanted, expire=True)).standing.budget_remaining


async def outcome(store: Store, wanted: Ask) -> Outcome:
    return (await store.ledger.hold(await store.ledger.hello(), wanted, expire=True)).outcome


def test_a_rebuilt_store_allows_what_the_old_one_would_have(old: ValkeyProcess, empty: ValkeyProcess) -> None:
    async def main() -> None:
        async with opened(old) as before, opened(empty) as after:
            await people(before)
            await traffic(before, 100, seed=4)
            await rebuilt(after, OutboxHistory(before.outbox))
            for tenant in TENANTS:
                left = [await remaining(store, ask(tenant, 5_000, 1)) for store in (before, after)]
                assert left[0] == left[1]
                # The very next call too: the hold before it has moved the windows on.
                more = ask(tenant, 5_001, (left[0] or 0) + 1)
                assert [await outcome(store, more) for store in (before, after)] == [Outcome.NO, Outcome.NO]
                exact = ask(tenant, 5_002, left[0] or 0)
                assert [await outcome(store, exact) for store in (before, after)] == [Outcome.OK, Outcome.OK]

    run_real(main())


def test_a_store_that_holds_something_is_refused_and_left_alone(old: ValkeyProcess, empty: ValkeyProcess) -> None:
    async def main() -> None:
        async with opened(old) as before, opened(empty) as after:
            await people(before)
            await change(after, None, Tenant(id="somebody"))
            asked = await after.everything()
            with pytest.raises(Exception, match="holds accounts or a ledger already"):
                await rebuilt(after, OutboxHistory(before.outbox))
            assert await after.everything() == asked
            assert [each.id for each in await after.accounts.list(Kind.TENANT, "")] == ["somebody"]

    run_real(main())


def test_a_rebuilt_stores_own_outbox_rebuilds_again(old: ValkeyProcess, empty: ValkeyProcess) -> None:
    async def main() -> None:
        async with opened(old) as first, opened(empty) as second:
            await people(first)
            await traffic(first, 50, seed=5)
            expected = await first.everything()
            await rebuilt(second, OutboxHistory(first.outbox))
            await first.valkey.command("FLUSHALL")
            report = await rebuilt(first, OutboxHistory(second.outbox))
            assert report.complete
            assert await first.everything() == expected

    run_real(main())
