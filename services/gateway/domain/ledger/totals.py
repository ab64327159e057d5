"""What a usage log adds up to, and how that compares with what a ledger says."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.gateway.domain.ledger.types import OutboxEntry, ScopeTotals

# Budgets without an end have one window: the scope's whole life.
_TOTAL = "total"
SESSION = "s:"


@dataclass(slots=True)
class LogScope:
    """One scope, in nano-dollars: `windows` has, per duration, the latest window that was charged as (start, sum)."""

    settled: int = 0
    windows: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, cost: int, starts: dict[str, int]) -> None:
        """Counts one charge; a charge in a window that is over moves the life's sum alone."""
        self.settled += cost
        for duration, start in starts.items():
            latest, charged = self.windows.get(duration, (start, 0))
            if duration != _TOTAL and start >= latest:
                self.windows[duration] = (start, cost + (charged if start == latest else 0))


@dataclass(frozen=True, slots=True)
class Difference:
    """Ledger and log disagree, in nano-dollars. `what` is "settled" or the duration of a window."""

    tenant: str
    scope: str
    what: str
    ledger: int
    log: int


class LogTotals:
    """One tenant's sums. Entries must come once each."""

    def __init__(self) -> None:
        self.scopes: dict[str, LogScope] = {}
        self.entries = 0
        self.cost = 0

    def add(self, entry: OutboxEntry) -> None:
        """Counts an entry; those of accounts and soft budgets cost nothing."""
        self.entries += 1
        self.cost += entry.cost
        for scope, starts in entry.windows.items():
            self.scopes.setdefault(scope, LogScope()).add(entry.cost, starts)


def differences(tenant: str, ledger: dict[str, ScopeTotals], log: LogTotals) -> list[Difference]:
    """Where they disagree. A session tree that the ledger has forgotten, being idle, is no difference."""
    found: list[Difference] = []
    for scope in sorted(ledger.keys() | log.scopes.keys()):
        if scope.startswith(SESSION) and scope not in ledger:
            continue
        said, logged = ledger.get(scope) or ScopeTotals(0, 0, 0, {}), log.scopes.get(scope) or LogScope()
        pairs = {"settled": (said.settled, logged.settled), **_windows(said, logged)}
        found += [Difference(tenant, scope, what, *pair) for what, pair in pairs.items() if pair[0] != pair[1]]
    return found


def _windows(ledger: ScopeTotals, log: LogScope) -> dict[str, tuple[int, int]]:
    """What each says of the window that is the ledger's present one. A window that is over is past comparing."""
    pairs = {}
    for duration, (start, settled, _) in ledger.windows.items():
        latest, charged = log.windows.get(duration, (start, 0))
        if latest >= start:
            pairs[duration] = (settled if latest == start else 0, charged)
        else:
            pairs[duration] = (settled, 0)
    return pairs
