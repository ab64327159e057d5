"""Whether ledger, usage log and request records tell the same story. Reads only, and may run beside gateways.

What is settled while the audit reads is in one place and not yet in the other. So what differs is looked at again, and
is reported when it still differs by the same amount: a story that moves is no lie.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from services.gateway.domain.ledger.totals import Difference, LogTotals, differences
from services.gateway.domain.ledger.types import OutboxEntry
from services.gateway.ports.ledger import Outbox
from services.gateway.ports.usage import (
    AuditMemory,
    AuditStore,
    LedgerTotals,
    RecordedCosts,
    UsageHistory,
)
from services.gateway.usecases.rebuild import identity_of

READ_ENTRIES = 1_000
# Looks at what differs, at most.
LOOKS_MAX = 3


@dataclass(frozen=True, slots=True)
class WrongRecord:
    """A request's record and the log disagree on its cost, in nano-dollars."""

    tenant: str
    request_id: str
    record: int
    log: int


@dataclass(slots=True)
class AuditReport:
    """What was compared, and what differs. `unpublished` entries wait in outboxes; `vanished` were acknowledged by the
    topic and are not in it: a topic that forgets (retention, a broker in memory), or one that lost them.
    """

    tenants: int = 0
    entries: int = 0
    cost_nanodollars: int = 0
    records: int = 0
    unpublished: int = 0
    vanished: int = 0
    differences: list[Difference] = field(default_factory=list)
    wrong_records: list[WrongRecord] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not self.differences and not self.wrong_records


@dataclass(slots=True)
class _Look:
    """One reading of everything. `places` and `cursors` are where each outbox ended, and was published to, at first."""

    store: AuditStore
    totals: dict[str, LogTotals] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    cursors: dict[str, str] = field(default_factory=dict)
    unpublished: int = 0
    # Acknowledged entries that are still in an outbox, and how many of them the topic has.
    kept: int = 0
    found: int = 0

    def count(self, tenant: str, entry: OutboxEntry) -> bool:
        """Counts an entry the first time it is seen; False for a repeat."""
        if not self.store.first(identity_of(tenant, entry)):
            return False
        self.totals.setdefault(tenant, LogTotals()).add(entry)
        if entry.meta is not None:
            self.store.add(tenant, entry.request_id, entry.cost)
        return True

    def published(self, tenant: str, entry: OutboxEntry) -> bool:
        """Whether a broker had acknowledged the entry when the look began."""
        return not _is_later(entry.id, self.cursors.get(tenant, ""))


class Audit:
    """`run` once. `topic` None = the outboxes are all there is; `records` None = requests are not compared."""

    def __init__(
        self,
        outbox: Outbox,
        ledger: LedgerTotals,
        memory: AuditMemory,
        topic: UsageHistory | None = None,
        records: RecordedCosts | None = None,
    ) -> None:
        self._outbox, self._ledger, self._memory = outbox, ledger, memory
        self._topic, self._records = topic, records

    async def run(self) -> AuditReport:
        """Raises PlatformError and what the topic raises: then nothing is known."""
        report = await self._look()
        for _ in range(LOOKS_MAX - 1):
            if report.agrees:
                break
            before, report = report, await self._look()
            offs = {(each.tenant, each.scope, each.what, each.ledger - each.log) for each in before.differences}
            report.differences = [
                each
                for each in report.differences
                if (each.tenant, each.scope, each.what, each.ledger - each.log) in offs
            ]
            report.wrong_records = [each for each in report.wrong_records if each in before.wrong_records]
        return report

    async def _look(self) -> AuditReport:
        with self._memory.open() as store:
            look = _Look(store)
            # Outboxes first: what is trimmed while the topic is read was in them before.
            for tenant in await self._outbox.tenants():
                look.cursors[tenant] = await self._outbox.cursor(tenant)
                await self._read_outbox(tenant, look)
            await self._read_topic(look)
            return await self._compare(look)

    async def _read_outbox(self, tenant: str, look: _Look) -> None:
        """Counts what came to a tenant's outbox since it was read last."""
        after = look.places.get(tenant, "")
        while entries := await self._outbox.read(tenant, after, READ_ENTRIES):
            look.places[tenant] = after = entries[-1].id
            for entry in entries:
                if look.count(tenant, entry):
                    published = look.published(tenant, entry)
                    look.kept += published
                    look.unpublished += not published

    async def _read_topic(self, look: _Look) -> None:
        if self._topic is None:
            return
        async for batch in self._topic.read():
            for tenant, entry in batch:
                fresh = look.store.first(b"topic\0" + identity_of(tenant, entry))
                if fresh and not look.count(tenant, entry):
                    look.found += look.published(tenant, entry)

    async def _compare(self, look: _Look) -> AuditReport:
        report = AuditReport(tenants=len(look.totals))
        for tenant in sorted(look.totals.keys() | look.cursors.keys()):
            # The rest of the outbox and the ledger, with as little between them as can be.
            await self._read_outbox(tenant, look)
            said = await self._ledger.dump(tenant)
            report.differences += differences(tenant, said, look.totals.get(tenant) or LogTotals())
            await self._compare_records(tenant, look.store, report)
        report.entries = sum(each.entries for each in look.totals.values())
        report.cost_nanodollars = sum(each.cost for each in look.totals.values())
        report.unpublished = look.unpublished
        report.vanished = look.kept - look.found if self._topic is not None else 0
        return report

    async def _compare_records(self, tenant: str, store: AuditStore, report: AuditReport) -> None:
        if self._records is None:
            return
        async for request_id, cost in self._records.read(tenant):
            report.records += 1
            logged = store.cost(tenant, request_id)
            # One that is not in the log is not settled yet, or was refused before it was held.
            if logged is not None and logged != cost:
                report.wrong_records.append(WrongRecord(tenant, request_id, cost, logged))


def _is_later(left: str, right: str) -> bool:
    """Whether the stream id `left` comes after `right`; "" is before all."""
    return _parts(left) > _parts(right)


def _parts(stream_id: str) -> tuple[int, int]:
    milliseconds, _, number = stream_id.partition("-")
    return (int(milliseconds or -1), int(number or 0))
