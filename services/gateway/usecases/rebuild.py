"""From a usage log back to accounts and ledger, in an empty store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.codec import decode_change
from services.gateway.domain.ledger.totals import Difference, LogTotals, differences
from services.gateway.domain.ledger.types import OutboxEntry
from services.gateway.ports.usage import Identities, RebuildTarget, TenantEntry, UsageHistory

ACCOUNT = "account"


@dataclass(slots=True)
class RebuildReport:
    """What was done. `repeats` were delivered before; `failures` say what could not be made again."""

    kinds: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    tenants: int = 0
    cost_nanodollars: int = 0
    failures: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    @property
    def entries(self) -> int:
        """Entries that were applied."""
        return sum(self.kinds.values())

    @property
    def complete(self) -> bool:
        """Whether the store holds what the log says, all of it."""
        return not self.failures and not self.differences


class Rebuild:
    """`run` once. A store that is not empty is refused: what is in it would be counted with what is replayed."""

    def __init__(
        self,
        histories: Sequence[UsageHistory],
        target: RebuildTarget,
        seen: Identities,
        progress: Callable[[RebuildReport], None] = lambda _: None,
    ) -> None:
        self._histories, self._target, self._seen, self._progress = histories, target, seen, progress
        self._totals: dict[str, LogTotals] = {}
        self._report = RebuildReport()

    async def run(self) -> RebuildReport:
        """Replays all histories, in their order, and compares the outcome with their sums.

        Raises PlatformError (CONFLICT: the store is not empty) and what histories raise: then the store holds a part,
        and must be emptied before the next try.
        """
        if not await self._target.is_empty():
            raise PlatformError(
                Reason.CONFLICT,
                "The store holds accounts or a ledger already, so nothing was replayed. Stop all gateways, then give "
                "an empty store.",
                started=False,
            )
        for history in self._histories:
            async for batch in history.read():
                await self._replay([item for item in batch if self._first(*item)])
                self._progress(self._report)
        await self._compare()
        return self._report

    def _first(self, tenant: str, entry: OutboxEntry) -> bool:
        first = self._seen.first(identity_of(tenant, entry))
        self._report.repeats += not first
        return first

    async def _replay(self, batch: Sequence[TenantEntry]) -> None:
        """In order; neighbours of one tenant go together, and a change of accounts stands between them."""
        waiting: list[OutboxEntry] = []
        owner = ""
        for tenant, entry in batch:
            self._count(tenant, entry)
            if tenant != owner or entry.kind == ACCOUNT:
                await self._apply(owner, waiting)
                owner, waiting = tenant, []
            if entry.kind == ACCOUNT:
                await self._change(tenant, entry)
            else:
                waiting.append(entry)
        await self._apply(owner, waiting)

    def _count(self, tenant: str, entry: OutboxEntry) -> None:
        self._report.kinds[entry.kind] += 1
        self._report.cost_nanodollars += entry.cost
        self._totals.setdefault(tenant, LogTotals()).add(entry)
        self._report.tenants = len(self._totals)

    async def _apply(self, tenant: str, entries: Sequence[OutboxEntry]) -> None:
        if entries:
            await self._target.apply(tenant, entries)

    async def _change(self, tenant: str, entry: OutboxEntry) -> None:
        try:
            await self._target.change(decode_change(entry.account))
        except PlatformError as error:
            if error.reason is Reason.STORE_UNAVAILABLE:
                raise
            self._report.failures.append(f"{tenant}, change {entry.request_id}: {error.message}")
        except ValueError as error:  # msgspec's decoding errors are such
            self._report.failures.append(f"{tenant}, change {entry.request_id} cannot be read: {error}")

    async def _compare(self) -> None:
        for tenant, totals in sorted(self._totals.items()):
            self._report.differences += differences(tenant, await self._target.finish(tenant), totals)


def identity_of(tenant: str, entry: OutboxEntry) -> bytes:
    """What an entry is known by, however often it is delivered."""
    return f"{tenant}\0{entry.request_id}\0{entry.sequence}".encode()
