"""Everything that the outboxes of a store still hold."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from services.gateway.ports.ledger import Outbox
from services.gateway.ports.usage import TenantEntry

READ_ENTRIES = 1_000


class OutboxHistory:
    """Implements ports.UsageHistory. What was trimmed is not in it: that is in the usage topic."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def read(self) -> AsyncIterator[Sequence[TenantEntry]]:
        """See ports.UsageHistory."""
        for tenant in await self._outbox.tenants():
            after = ""
            while entries := await self._outbox.read(tenant, after, READ_ENTRIES):
                yield [(tenant, entry) for entry in entries]
                after = entries[-1].id
