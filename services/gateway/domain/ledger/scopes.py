"""A scope: its limits, its state, and what its budgets have left. Amounts are nano-dollars, times microseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from services.gateway.domain.ledger.buckets import Bucket, reset_us, units_left
from services.gateway.domain.ledger.types import Rate, Standing
from services.gateway.domain.ledger.windows import BudgetLimit, Window, Windows

TENANT = "t"
_TOTAL = "total"
# Starts of the windows that a part of a hold counts in, by duration.
Starts = dict[str, int]


class ScopeLimits(msgspec.Struct, frozen=True):
    """What limits.scope_limits writes. None = not limited; `off` says why everything is refused, "" = it is not."""

    rpm: int | None = None
    tpm: int | None = None
    par: int | None = None
    b: tuple[BudgetLimit, ...] = ()
    ses: int | None = None
    req: int | None = None
    cap: int | None = None
    exp: int | None = None
    off: str = ""

    def closed(self, now: int) -> str:
        """Why nothing is held at `now`; "" = it may be."""
        return self.off or ("expired" if self.exp is not None and now >= self.exp else "")


def unpack_limits(packed: bytes) -> ScopeLimits:
    """The limits that a scope's record was packed to."""
    return msgspec.msgpack.decode(packed, type=ScopeLimits)


@dataclass(slots=True)
class ScopeState:
    """What is settled in the scope's life and held, `running` calls, what reservations bind (tenant's scope only)."""

    settled: int = 0
    held: int = 0
    running: int = 0
    reserved: int = 0
    requests: Bucket = field(default_factory=Bucket)
    tokens: Bucket = field(default_factory=Bucket)
    windows: dict[str, Windows] = field(default_factory=dict)
    told: int = -1

    def copy(self) -> ScopeState:
        """One that can be changed without this one."""
        windows = {duration: kept.copy() for duration, kept in self.windows.items()}
        return replace(self, requests=replace(self.requests), tokens=replace(self.tokens), windows=windows)

    def roll(self, budget: BudgetLimit, now: int) -> Window:
        """The budget's window at `now`."""
        kept = self.windows.get(budget.duration)
        if kept is None:
            kept = self.windows[budget.duration] = Windows(Window(budget.start_at(now)))
        return kept.roll(budget, now)

    def window_at(self, duration: str, start: int) -> Window | None:
        """See Windows.at."""
        kept = self.windows.get(duration)
        return kept.at(start) if kept else None

    def move(self, starts: Starts, settled: int, held: int) -> None:
        """Moves in the windows that a part counts in."""
        for duration, start in starts.items():
            if duration in self.windows:
                self.windows[duration].move(start, settled, held)


@dataclass(slots=True)
class Scope:
    """A scope as an operation works on it. `limits` None = nobody has written any: there is no such scope."""

    name: str
    limits: ScopeLimits | None
    state: ScopeState

    @property
    def bounds(self) -> ScopeLimits:
        """Its limits; a scope that is unknown bounds nothing that runs already."""
        return self.limits or _UNBOUNDED

    def closed(self, now: int) -> str:
        """Why nothing is held at `now`; "" = it may be."""
        return "unknown" if self.limits is None else self.limits.closed(now)

    def windows_at(self, now: int) -> Starts:
        """The windows that a call counts in from `now` on."""
        return {budget.duration: self.state.roll(budget, now).start for budget in self.bounds.b if budget.length_us > 0}

    def room(self, budget: BudgetLimit, now: int, start: int | None = None) -> int:
        """What a budget has left to hold, in the window that began at `start` or in the present one."""
        if budget.length_us == 0:
            return budget.limit - self.state.settled - self.state.held
        window = self.state.window_at(budget.duration, start) if start is not None else None
        window = window or self.state.roll(budget, now)
        return budget.limit - window.settled - window.held


_UNBOUNDED = ScopeLimits()


def with_session_budget(scopes: Sequence[Scope]) -> Sequence[Scope]:
    """A session tree has no limits of its own: the least `ses` of the scopes above it is its total budget."""
    least: int | None = None
    for scope in scopes:
        if scope.name.startswith("s:"):
            budgets = () if least is None else (BudgetLimit(_TOTAL, 0, least, -1, 0),)
            scope.limits = ScopeLimits(b=budgets)
        elif scope.limits is not None and scope.limits.ses is not None:
            least = scope.limits.ses if least is None else min(least, scope.limits.ses)
    return scopes


def least_room(scopes: Sequence[Scope], now: int, windows: Sequence[Starts] | None = None) -> int | None:
    """The least that any budget has left; None = there is no budget. `windows` are those of a running call.

    A budget that came after the call began does not count it; "total" counts all.
    """
    rooms: list[int] = []
    for at, scope in enumerate(scopes):
        for budget in scope.bounds.b:
            start = windows[at].get(budget.duration) if windows is not None else None
            if windows is None or start is not None or budget.length_us == 0:
                rooms.append(scope.room(budget, now, start))
    return min(rooms, default=None)


def request_budget(scopes: Sequence[Scope]) -> int | None:
    """The least that any scope allows a request; None = none does."""
    return min((scope.bounds.req for scope in scopes if scope.bounds.req is not None), default=None)


def standing(scopes: Sequence[Scope], now: int) -> Standing:
    """What is left, the tightest of all scopes, the widest first among equals."""
    requests = [_rate(scope.state.requests, scope.bounds.rpm, now) for scope in scopes if scope.bounds.rpm is not None]
    tokens = [_rate(scope.state.tokens, scope.bounds.tpm, now) for scope in scopes if scope.bounds.tpm is not None]
    room = least_room(scopes, now)
    return Standing(
        min(requests, key=_remaining, default=None),
        min(tokens, key=_remaining, default=None),
        None if room is None else max(0, room),
    )


def _rate(bucket: Bucket, limit: int, now: int) -> Rate:
    level = bucket.drained(limit, now)
    return Rate(limit, units_left(level, limit), reset_us(level, limit) / 1_000_000)


def _remaining(rate: Rate) -> int:
    return rate.remaining
