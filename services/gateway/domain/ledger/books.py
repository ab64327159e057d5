"""What a tenant's ledger keeps, and the outbox in which it says what it decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.gateway.domain.ledger.hold_record import HELD, NOTHING, OPEN, Hold, Part, Reservation
from services.gateway.domain.ledger.scopes import Scope, ScopeLimits, ScopeState, Starts, with_session_budget
from services.gateway.domain.ledger.types import OutboxEntry, Progress, UsageMeta
from services.gateway.domain.ledger.windows import BudgetLimit

# What is over is remembered for so long: a settle that is repeated must find that it was done.
ENDED_US = 3_600_000_000


@dataclass(slots=True)
class Books:
    """An operation loads copies and saves what it changed, so that one that refuses leaves everything as it was."""

    limits: dict[str, ScopeLimits] = field(default_factory=dict)
    states: dict[str, ScopeState] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    reservations: dict[str, Reservation] = field(default_factory=dict)
    outbox: list[OutboxEntry] = field(default_factory=list)
    ended_us: int = ENDED_US

    def load(self, names: Sequence[str]) -> Sequence[Scope]:
        """The scopes of a call, the widest first."""
        return with_session_budget([self._scope(name) for name in names])

    def _scope(self, name: str) -> Scope:
        state = self.states.get(name)
        return Scope(name, self.limits.get(name), state.copy() if state else ScopeState())

    def save(self, scopes: Sequence[Scope]) -> None:
        """Keeps the scopes' states."""
        for scope in scopes:
            self.states[scope.name] = scope.state

    def hold(self, request_id: str, now: int) -> Hold | None:
        """A copy of the hold of that id, if it runs or has not been over for long."""
        hold = self.holds.get(request_id)
        forgotten = hold is None or (hold.state != HELD and now >= hold.ended_us + self.ended_us)
        return None if hold is None or forgotten else hold.copy()

    def reservation(self, reservation_id: str, now: int) -> Reservation | None:
        """The reservation of that id, if it is open or has not been over for long."""
        found = self.reservations.get(reservation_id)
        forgotten = found is None or (found.state != OPEN and now >= found.ended_us + self.ended_us)
        return None if forgotten else found

    def overdue(self, before: int, most: int) -> list[str]:
        """Ids of running holds whose lease ended by `before`, the longest overdue first."""
        due = sorted(
            (hold.lease_us, request_id)
            for request_id, hold in self.holds.items()
            if hold.state == HELD and hold.lease_us <= before
        )
        return [request_id for _, request_id in due[:most]]

    def publish(
        self,
        kind: str,
        identity: tuple[str, int],
        now: int,
        windows: dict[str, Starts],
        meta: UsageMeta | None,
        cost: int = 0,
        platform: int = 0,
        progress: Progress = NOTHING,
    ) -> None:
        """Appends to the outbox. `identity` is the request id and the number of the event among its events."""
        entry = OutboxEntry(
            id=f"{len(self.outbox) + 1}-0",
            kind=kind,
            request_id=identity[0],
            sequence=identity[1],
            at_us=now,
            cost=cost,
            platform=platform,
            prompt_tokens=progress.prompt_tokens,
            cached_tokens=progress.cached_tokens,
            completion_tokens=progress.completion_tokens,
            reasoning_tokens=progress.reasoning_tokens,
            meta=meta,
            windows=windows,
        )
        self.outbox.append(entry)

    def publish_charges(
        self, kind: str, request_id: str, hold: Hold, charges: Sequence[int], platform: int, used: Progress, now: int
    ) -> None:
        """One event per part that bears a cost; the first part has one always: it says that there was a call."""
        for at, part in enumerate(hold.parts):
            if at == 0 or charges[at] != 0:
                hold.sequence += 1
                first = at == 0
                self.publish(
                    kind,
                    (request_id, hold.sequence),
                    now,
                    _by_scope(hold, part),
                    hold.meta,
                    charges[at],
                    platform if first else 0,
                    used if first else NOTHING,
                )

    def publish_soft(self, scope: Scope, meta: UsageMeta | None, now: int) -> None:
        """Says that a soft limit is crossed, once per window and limit."""
        for budget in scope.bounds.b:
            if budget.soft >= 0:
                self._publish_soft(scope, budget, meta, now)

    def _publish_soft(self, scope: Scope, budget: BudgetLimit, meta: UsageMeta | None, now: int) -> None:
        slot = scope.state if budget.length_us == 0 else scope.state.roll(budget, now)
        if slot.settled < budget.soft or slot.told == budget.soft:
            return
        slot.told = budget.soft
        start = 0 if isinstance(slot, ScopeState) else slot.start
        name = f"soft:{scope.name}:{budget.duration}:{start}:{budget.soft}"
        self.publish("soft_budget", (name, 1), now, {scope.name: {budget.duration: start}}, meta)


def _by_scope(hold: Hold, part: Part) -> dict[str, Starts]:
    return dict(zip(hold.scopes, part.windows, strict=True))
