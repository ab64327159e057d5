"""From one store over a real broker into an empty store: accounts, sums, budgets, and what they still allow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from libs.kafka import Seen
from libs.kafka.reader import TopicReader
from libs.testing.brokers import BrokerProcess, embedded_broker
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from services.gateway.adapters.outbox_history import OutboxHistory
from services.gateway.adapters.rebuild_target import StoreTarget
from services.gateway.adapters.usage_topic import TopicHistory
from services.gateway.domain.accounts.records import Kind, Tenant
from services.gateway.domain.ledger.types import Ask, End, Outcome, Progress, Settlement
from services.gateway.ports.usage import UsageHistory
from services.gateway.usecases.rebuild import Rebuild, RebuildReport
from tests.integration.services.gateway.ledger_world import (
    TENANTS,
    Store,
    ask,
    change,
    opened,
    people,
    publish,
    traffic,
)


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
