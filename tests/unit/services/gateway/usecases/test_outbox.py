from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from libs.kafka import BrokerUnavailableError, KafkaSettings, Seen, TopicSpec
from libs.testing.clock import FakeClock
from libs.testing.kafka import MemoryBroker, MemoryProducer, MemoryReader
from libs.testing.loop import run
from services.gateway.adapters.usage_topic import TOPIC, TopicHistory, UsageTopic
from services.gateway.ports.usage import TenantEntry, UsageLog
from services.gateway.usecases.outbox import OutboxRelay, RelayLimits
from services.gateway.usecases.rebuild import identity_of
from tests.unit.services.gateway.usecases.outbox_world import MemoryOutbox, Noted

LIMITS = RelayLimits(entries_max=10, tenants_max=8)
SPEC = TopicSpec(TOPIC, 4)


class World:
    def __init__(self, settings: KafkaSettings | None = None) -> None:
        self.clock = FakeClock()
        self.outbox = MemoryOutbox(self.clock)
        self.broker = MemoryBroker()
        self.settings = settings
        self.noted = Noted()

    def relay(
        self, holder: str = "one", *, durable: bool = True, log: UsageLog | None = None, limits: RelayLimits = LIMITS
    ) -> OutboxRelay:
        topic = log or UsageTopic(MemoryProducer(self.broker, [SPEC], self.settings))
        return OutboxRelay(self.outbox, topic, self.clock, self.noted, holder=holder, durable=durable, limits=limits)

    def fill(self, tenants: int = 3, entries: int = 25) -> None:
        for number in range(entries):
            for tenant in range(tenants):
                self.outbox.add(f"t{tenant}", f"r{tenant}-{number}", cost=number)

    async def history(self) -> list[TenantEntry]:
        return [item async for batch in TopicHistory(MemoryReader(self.broker)).read() for item in batch]

    async def published(self, tenant: str) -> list[str]:
        return [entry.request_id for name, entry in await self.history() if name == tenant]


async def until_idle(relay: OutboxRelay) -> None:
    while await relay.turn():
        pass


def in_order(tenant: int, entries: int) -> list[str]:
    return [f"r{tenant}-{number}" for number in range(entries)]


def test_every_entry_is_published_once_whole_and_in_order() -> None:
    async def main() -> None:
        world = World()
        world.fill()
        before = {name: list(entries) for name, entries in world.outbox.entries.items()}
        await until_idle(world.relay())
        history = await world.history()
        for name, entries in before.items():
            assert [entry for tenant, entry in history if tenant == name] == entries
        assert world.noted.count == len(history) == 75
        assert world.outbox.entries == {"t0": [], "t1": [], "t2": []}

    run(main())


def test_the_record_says_what_it_is_without_being_decoded() -> None:
    async def main() -> None:
        world = World()
        world.outbox.add("acme", "req-1", kind="corrected", sequence=2)
        await until_idle(world.relay())
        record = world.broker.records(TOPIC)[0]
        assert record.key == b"acme"
        assert dict(record.headers) == {"request_id": b"req-1", "sequence": b"2", "kind": b"corrected"}

    run(main())


def test_nothing_is_trimmed_before_the_acknowledgement() -> None:
    async def main() -> None:
        world = World()
        world.fill(1, 15)
        world.broker.acknowledges = False
        relay = world.relay()
        for _ in range(3):
            with pytest.raises(BrokerUnavailableError):
                await relay.turn()
            world.clock.advance(60)
        assert world.outbox.trimmed == []
        assert world.outbox.cursors == {}
        world.broker.acknowledges = True
        await until_idle(relay)
        assert world.outbox.trimmed == in_order(0, 15)

    run(main())


def test_a_broker_that_is_not_durable_gets_everything_and_nothing_is_dropped() -> None:
    async def main() -> None:
        world = World()
        world.fill(2, 15)
        await until_idle(world.relay(durable=False))
        assert world.outbox.trimmed == []
        assert world.outbox.cursors == {name: entries[-1].id for name, entries in world.outbox.entries.items()}
        assert await world.published("t0") == in_order(0, 15)

    run(main())


class DiesBeforeAdvance(UsageTopic):
    """The process ends between the acknowledgement and the cursor's move."""

    async def append(self, entries: Sequence[TenantEntry]) -> None:
        await super().append(entries)
        raise asyncio.CancelledError


def test_killed_between_send_and_advance_nothing_is_lost_and_repeats_have_the_same_identity() -> None:
    async def main() -> None:
        world = World()
        world.fill(2, 10)
        dying = world.relay(log=DiesBeforeAdvance(MemoryProducer(world.broker, [SPEC])))
        with pytest.raises(asyncio.CancelledError):
            await dying.turn()
        assert world.outbox.cursors == {}
        world.clock.advance(LIMITS.lease_seconds)
        await until_idle(world.relay("two"))
        history = await world.history()
        assert len(history) == 40
        with Seen() as seen:
            once = [item for item in history if seen.first(identity_of(*item))]
        for tenant in range(2):
            assert [entry.request_id for name, entry in once if name == f"t{tenant}"] == in_order(tenant, 10)

    run(main())


def test_two_relays_do_not_publish_one_tenants_entries_at_once() -> None:
    async def main() -> None:
        world = World()
        world.fill(2, 100)
        relays = [world.relay(name) for name in ("one", "two")]

        async def publish(relay: OutboxRelay) -> None:
            for _ in range(60):
                await relay.turn()
                await world.clock.sleep(1.0)

        await asyncio.gather(*map(publish, relays))
        for tenant in range(2):  # each entry once: a second publisher would have repeated some
            assert await world.published(f"t{tenant}") == in_order(tenant, 100)

    run(main())


def test_what_another_relay_has_published_is_not_published_again() -> None:
    async def main() -> None:
        world = World()
        world.outbox.add("t0", "r0-0")
        one, two = (world.relay(name, durable=False) for name in ("one", "two"))
        await until_idle(two)
        world.clock.advance(LIMITS.lease_seconds)
        world.outbox.add("t0", "r0-1")
        await until_idle(one)
        world.clock.advance(LIMITS.lease_seconds)
        await until_idle(two)
        assert await world.published("t0") == ["r0-0", "r0-1"]

    run(main())


def test_the_lease_of_a_dead_relay_runs_out() -> None:
    async def main() -> None:
        world = World()
        world.fill(1, 5)
        await world.outbox.lease("t0", "dead", LIMITS.lease_seconds)
        running = asyncio.ensure_future(world.relay().run())
        await world.clock.sleep(LIMITS.lease_seconds - 1)
        assert world.broker.records(TOPIC) == []
        await world.clock.sleep(LIMITS.idle_seconds_max + 2)
        assert await world.published("t0") == in_order(0, 5)
        await ended(running)

    run(main())


def test_while_the_broker_is_away_entries_wait_and_the_wait_is_told() -> None:
    async def main() -> None:
        world = World()
        world.broker.up = False
        relay = world.relay()
        running = asyncio.ensure_future(relay.run())
        world.fill(2, 5)
        await world.clock.sleep(120)
        assert (relay.waiting(), round(relay.lag_seconds())) == (2, 120)
        assert set(world.noted.causes) == {"broker"}
        # It backs off: two minutes hold few tries.
        assert 5 < len(world.noted.causes) < 20
        world.broker.up = True
        await world.clock.sleep(LIMITS.retry_seconds_max + 1)
        assert (relay.waiting(), relay.lag_seconds()) == (0, 0.0)
        assert await world.published("t1") == in_order(1, 5)
        await ended(running)

    run(main())


def test_a_batch_that_arrived_in_part_is_repeated_in_order() -> None:
    async def main() -> None:
        world = World()
        world.fill(1, 10)
        world.broker.fail_after = 4
        relay = world.relay()
        with pytest.raises(BrokerUnavailableError):
            await relay.turn()
        world.broker.up = True
        world.clock.advance(60)
        await until_idle(relay)
        assert await world.published("t0") == in_order(0, 4) + in_order(0, 10)

    run(main())


def test_an_entry_that_the_log_will_not_have_holds_up_its_own_tenant_only() -> None:
    async def main() -> None:
        world = World(KafkaSettings(record_bytes_max=1_000))
        world.fill(3, 5)
        world.outbox.add("t1", "x" * 2_000)
        world.outbox.add("t1", "behind")
        relay = world.relay(limits=RelayLimits(entries_max=5))
        for _ in range(5):
            await relay.turn()
            world.clock.advance(LIMITS.retry_seconds_max)
        assert await world.published("t0") == in_order(0, 5)
        assert await world.published("t2") == in_order(2, 5)
        assert await world.published("t1") == in_order(1, 5)
        assert [entry.request_id[:6] for entry in world.outbox.entries["t1"]] == ["xxxxxx", "behind"]
        assert set(world.noted.causes) == {"record"}

    run(main())


def test_a_store_that_is_away_is_waited_for() -> None:
    async def main() -> None:
        world = World()
        world.fill(1, 5)
        world.outbox.up = False
        running = asyncio.ensure_future(world.relay().run())
        await world.clock.sleep(30)
        assert set(world.noted.causes) == {"store"}
        world.outbox.up = True
        await world.clock.sleep(LIMITS.retry_seconds_max + 1)
        assert await world.published("t0") == in_order(0, 5)
        await ended(running)

    run(main())


def test_thousands_of_resting_tenants_cost_few_reads() -> None:
    async def main() -> None:
        world = World()
        for number in range(3_000):
            world.outbox.entries[f"t{number}"] = []
        relay = world.relay(limits=RelayLimits())
        running = asyncio.ensure_future(relay.run())
        await world.clock.sleep(60)
        before = world.outbox.reads
        await world.clock.sleep(100)
        assert (world.outbox.reads - before) / 100 <= 3_000 / RelayLimits().idle_seconds_max + 1
        world.outbox.add("t7", "r7-0")
        relay.wake("t7")
        await world.clock.sleep(0.5)
        assert await world.published("t7") == ["r7-0"]
        await ended(running)

    run(main())


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
