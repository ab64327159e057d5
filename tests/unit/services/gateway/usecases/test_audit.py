from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.gateway.adapters.audit_memory import SqliteMemory
from services.gateway.domain.ledger.types import ScopeTotals
from services.gateway.ports.usage import TenantEntry
from services.gateway.usecases.audit import Audit, AuditReport, WrongRecord
from tests.unit.services.gateway.usecases.outbox_world import MemoryOutbox


class Books:
    """A ledger, its outbox, a topic and request records, each as wrong as a test wants them."""

    def __init__(self) -> None:
        self.outbox = MemoryOutbox(FakeClock())
        self.topic: list[TenantEntry] = []
        self.settled: dict[str, int] = {}
        self.records: dict[str, int] = {}
        self.dumps = 0
        self.meanwhile = lambda: None

    def call(self, tenant: str, request_id: str, cost: int) -> None:
        self.outbox.add(tenant, request_id, cost=cost)
        self.settled[tenant] = self.settled.get(tenant, 0) + cost
        self.records[request_id] = cost

    async def publish(self, *, trim: bool = False) -> None:
        for tenant, entries in list(self.outbox.entries.items()):
            self.topic += [(tenant, entry) for entry in entries]
            if entries:
                await self.outbox.advance(tenant, entries[-1].id, trim=trim)

    async def dump(self, tenant: str) -> dict[str, ScopeTotals]:
        self.dumps += 1
        self.meanwhile()
        return {scope: ScopeTotals(self.settled.get(tenant, 0), 0, 0, {}) for scope in ("t", "k:key")}

    async def history(self) -> AsyncIterator[Sequence[TenantEntry]]:
        self.meanwhile()
        for at in range(0, len(self.topic), 2):
            yield self.topic[at : at + 2]

    async def costs(self, tenant: str) -> AsyncIterator[tuple[str, int]]:
        for request_id, cost in self.records.items():
            yield request_id, cost

    async def audit(self, *, topic: bool = True) -> AuditReport:
        history = type("Topic", (), {"read": lambda _: self.history()})() if topic else None
        records = type("Records", (), {"read": lambda _, tenant: self.costs(tenant)})()
        return await Audit(self.outbox, self, SqliteMemory(), history, records).run()


def test_topic_and_outbox_together_are_the_log_and_repeats_count_once() -> None:
    async def main() -> None:
        books = Books()
        for number in range(6):
            books.call("acme", f"r{number}", 10)
        await books.publish(trim=True)
        books.call("acme", "r6", 5)
        await books.publish()
        books.topic += books.topic[:3]
        books.call("acme", "r7", 1)
        report = await books.audit()
        assert report.agrees
        assert (report.entries, report.cost_nanodollars, report.tenants) == (8, 66, 1)
        assert (report.unpublished, report.vanished, report.records) == (1, 0, 8)

    run(main())


def test_a_ledger_that_says_more_than_its_log_is_told() -> None:
    async def main() -> None:
        books = Books()
        books.call("acme", "r0", 10)
        books.settled["acme"] += 3
        report = await books.audit(topic=False)
        assert [(each.scope, each.ledger, each.log) for each in report.differences] == [
            ("k:key", 13, 10),
            ("t", 13, 10),
        ]
        assert books.dumps > 1  # it looked again before it said so

    run(main())


def test_calls_that_settle_meanwhile_are_no_difference() -> None:
    async def main() -> None:
        books, left = Books(), [7, 5]
        books.call("acme", "r0", 10)

        def settle() -> None:
            if left:
                books.call("acme", f"late-{len(left)}", left.pop())

        books.meanwhile = settle
        report = await books.audit()
        assert report.agrees
        assert report.cost_nanodollars == 22

    run(main())


def test_a_difference_that_stays_is_told_although_calls_settle_meanwhile() -> None:
    async def main() -> None:
        books, left = Books(), list(range(1, 40))
        books.call("acme", "r0", 10)
        books.settled["other"] = 4
        books.outbox.add("other", "soft", kind="soft_budget", cost=0)

        def settle() -> None:
            books.call("acme", f"late-{len(left)}", left.pop())

        books.meanwhile = settle
        report = await books.audit()
        assert {(each.tenant, each.ledger - each.log) for each in report.differences} == {("other", 4)}

    run(main())


def test_entries_that_a_topic_had_acknowledged_and_has_no_more_are_counted() -> None:
    async def main() -> None:
        books = Books()
        for number in range(4):
            books.call("acme", f"r{number}", 10)
        await books.publish()
        del books.topic[1:3]
        report = await books.audit()
        assert report.agrees  # the outbox still has them
        assert (report.vanished, report.unpublished) == (2, 0)
        assert (await books.audit(topic=False)).vanished == 0

    run(main())


def test_entries_that_are_gone_from_both_are_a_difference() -> None:
    async def main() -> None:
        books = Books()
        for number in range(4):
            books.call("acme", f"r{number}", 10)
        await books.publish(trim=True)
        del books.topic[1]
        report = await books.audit()
        assert [(each.scope, each.ledger, each.log) for each in report.differences] == [
            ("k:key", 40, 30),
            ("t", 40, 30),
        ]

    run(main())


def test_a_record_that_tells_another_cost_than_the_log_is_told_and_one_without_a_charge_is_not() -> None:
    async def main() -> None:
        books = Books()
        books.call("acme", "r0", 10)
        books.call("acme", "r1", 10)
        books.outbox.add("acme", "r1", sequence=2, kind="corrected", cost=-4)
        books.settled["acme"] -= 4
        books.records |= {"refused": 0}
        report = await books.audit()
        assert report.wrong_records == [WrongRecord("acme", "r1", 10, 6)]
        assert report.differences == []
        assert not report.agrees

    run(main())
