"""The usage log as a Kafka topic: keyed by tenant, so that a tenant's events stay in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from libs.kafka import Producer, Reader, Record
from services.gateway.adapters.usage_events import entry_of, event_of
from services.gateway.domain.ledger.types import OutboxEntry
from services.gateway.ports.usage import TenantEntry

TOPIC = "headrace.usage.v1"


class UsageTopic:
    """Implements ports.UsageLog."""

    def __init__(self, producer: Producer, topic: str = TOPIC) -> None:
        self._producer, self._topic = producer, topic

    async def append(self, entries: Sequence[TenantEntry]) -> None:
        """See ports.UsageLog."""
        await self._producer.send([self._record(tenant, entry) for tenant, entry in entries])

    def _record(self, tenant: str, entry: OutboxEntry) -> Record:
        headers = (
            ("request_id", entry.request_id.encode()),
            ("sequence", str(entry.sequence).encode()),
            ("kind", entry.kind.encode()),
        )
        return Record(self._topic, tenant.encode(), event_of(tenant, entry).SerializeToString(), headers)


class TopicHistory:
    """Implements ports.UsageHistory."""

    def __init__(self, reader: Reader, topic: str = TOPIC) -> None:
        self._reader, self._topic = reader, topic

    async def read(self) -> AsyncIterator[Sequence[TenantEntry]]:
        """See ports.UsageHistory. Raises UnreadableEventError too."""
        async for batch in self._reader.read_all(self._topic):
            yield [entry_of(stored.record.value) for stored in batch]
