"""The relay between a real store and Apache Kafka that is killed: nothing lost, nothing trimmed too early, in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from libs.clock import SystemClock
from libs.kafka import Seen, TopicSpec
from libs.kafka.producer import IdempotentProducer
from libs.kafka.reader import TopicReader
from libs.testing.brokers import BrokerProcess
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from services.gateway.adapters.outbox_history import OutboxHistory
from services.gateway.adapters.rebuild_target import StoreTarget
from services.gateway.adapters.usage_topic import TOPIC, TopicHistory, UsageTopic
from services.gateway.domain.ledger.types import OutboxEntry
from services.gateway.usecases.outbox import OutboxRelay, RelayLimits
from services.gateway.usecases.rebuild import Rebuild, identity_of
from tests.integration.services.gateway.ledger_world import TENANTS, Store, opened, people, traffic
from tests.unit.services.gateway.usecases.outbox_world import Noted
from tools.kafka_node import KafkaNode, fetched

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
LIMITS = RelayLimits(idle_seconds_max=0.5, retry_seconds_max=0.5, lease_seconds=6.0, entries_max=20)
SECONDS_MAX = 60.0


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerProcess]:
    if not fetched():
        pytest.skip("Apache Kafka is not here: make test-kafka fetches it")
    with KafkaNode() as node:
        yield node.broker


@pytest.fixture
def stores() -> Iterator[tuple[ValkeyProcess, ValkeyProcess]]:
    with ValkeyProcess() as old, ValkeyProcess() as empty:
        yield old, empty


async def all_waiting(store: Store) -> list[OutboxEntry]:
    names = await store.outbox.tenants()
    return [entry for name in names for entry in await store.outbox.read(name, await store.outbox.cursor(name), 10_000)]


def test_a_broker_that_is_killed_while_two_relays_publish(
    broker: BrokerProcess, stores: tuple[ValkeyProcess, ValkeyProcess]
) -> None:
    async def main() -> None:
        async with opened(stores[0]) as before, opened(stores[1]) as after:
            producers = [IdempotentProducer(broker.settings(), [TopicSpec(TOPIC, 4)]) for _ in range(2)]
            relays = [
                OutboxRelay(
                    before.outbox,
                    UsageTopic(producer),
                    SystemClock(),
                    Noted(),
                    holder=f"relay-{number}",
                    durable=True,
                    limits=LIMITS,
                )
                for number, producer in enumerate(producers)
            ]
            running = [asyncio.ensure_future(relay.run()) for relay in relays]
            try:
                await people(before)
                for seed in range(3):
                    await traffic(before, 100, seed, first=seed * 1_000)
                    broker.kill()
                    await traffic(before, 30, seed, first=seed * 1_000 + 500)
                    broker.start()
                end = time.monotonic() + SECONDS_MAX
                while await all_waiting(before):
                    assert time.monotonic() < end
                    await asyncio.sleep(0.1)
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
                await asyncio.gather(*(producer.close() for producer in producers))
            assert [await before.outbox.read(tenant, "", 1) for tenant in TENANTS] == [[], []]
            await in_order(broker)
            with Seen() as seen:
                histories = [TopicHistory(TopicReader(broker.settings())), OutboxHistory(before.outbox)]
                report = await Rebuild(histories, StoreTarget(after.valkey), seen).run()
            assert report.complete
            assert report.kinds["account"] == 15
            assert sum(report.kinds.values()) - 15 >= 3 * 130
            assert await after.everything() == await before.everything()

    run_real(main())


async def in_order(broker: BrokerProcess) -> None:
    """First occurrences of a tenant's entries are in the order of its outbox, whatever was repeated."""
    firsts: dict[str, list[tuple[int, ...]]] = {}
    with Seen() as seen:
        async for batch in TopicHistory(TopicReader(broker.settings())).read():
            for tenant, entry in batch:
                if seen.first(identity_of(tenant, entry)):
                    firsts.setdefault(tenant, []).append(tuple(map(int, entry.id.split("-"))))
    assert set(TENANTS) < set(firsts)
    assert all(left < right for ids in firsts.values() for left, right in pairwise(ids))
