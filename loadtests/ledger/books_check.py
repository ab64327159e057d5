"""What must hold of a tenant's books after every operation, computed anew from holds, reservations and the outbox."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from services.gateway.domain.ledger.books import Books
from services.gateway.domain.ledger.hold_record import HELD, OPEN
from services.gateway.domain.ledger.types import End, HoldReply, OutboxEntry

# (scope, duration, start); duration "" = the scope's life.
Place = tuple[str, str, int]
_ENDS = {end.value for end in End}


class ViolationError(AssertionError):
    """The ledger broke one of its rules; the message says which, where, and the numbers."""


class BooksCheck:
    """Checks the books of one tenant. It reads each outbox entry once, so it must see every operation."""

    def __init__(self) -> None:
        self._read = 0
        self._settled: Counter[Place] = Counter()
        self._costs: Counter[str] = Counter()
        self._events: defaultdict[str, list[str]] = defaultdict(list)
        self._used: dict[Place, int] = {}
        # Budgets whose windows have had another phase: what was settled in one that is over is not counted again.
        self._phases: dict[tuple[str, str], int] = {}
        self._moved: set[tuple[str, str]] = set()

    def after(self, books: Books, *, unchecked: bool) -> None:
        """Raises ViolationError. `unchecked`: the operation may pass a limit by its nature."""
        for entry in books.outbox[self._read :]:
            self._count(entry)
        self._read = len(books.outbox)
        if unchecked:
            self._note_phases(books)
        self._check_sums(books)
        self._check_ends(books)
        used = dict(_used(books))
        if not unchecked:
            self._check_limits(books, used)
        self._used = used

    def check_refusal(self, books: Books, reply: HoldReply, asked: int) -> None:
        """A budget refuses only what would not have fitted."""
        refusal = reply.refusal
        if refusal is None or refusal.kind not in ("budget", "held"):
            return
        used = _used_at(books, refusal.scope, refusal.duration, reply.at_us)
        _require(used + asked > int(refusal.limit), f"{refusal} was false: {used} used, {asked} asked")

    def _count(self, entry: OutboxEntry) -> None:
        if entry.kind == "soft_budget":
            _require(entry.cost == 0, f"a soft budget's event costs: {entry}")
            return
        events = self._events[entry.request_id]
        _require(entry.sequence == len(events) + 1, f"an event is missing or came twice: {entry}")
        events.append(entry.kind)
        self._costs[entry.request_id] += entry.cost
        for scope, starts in entry.windows.items():
            self._settled[scope, "", 0] += entry.cost
            for duration, start in starts.items():
                self._settled[scope, duration, start] += entry.cost

    def _note_phases(self, books: Books) -> None:
        for scope, limits in books.limits.items():
            for budget in limits.b:
                name, phase = (scope, budget.duration), budget.length_us and budget.anchor_us % budget.length_us
                if self._phases.setdefault(name, phase) != phase:
                    self._moved.add(name)

    def _check_sums(self, books: Books) -> None:
        held, running = _held(books)
        for scope, state in books.states.items():
            _equal(f"settled in {scope}", state.settled, self._settled[scope, "", 0])
            _equal(f"held in {scope}", state.held, held[scope, "", 0])
            _equal(f"running in {scope}", state.running, running[scope])
            for duration, kept in state.windows.items():
                for window in (kept.present, *kept.aside.values()):
                    where = (scope, duration, window.start)
                    _equal(f"held in {where}", window.held, held[where])
                    if (scope, duration) not in self._moved:
                        _equal(f"settled in {where}", window.settled, self._settled[where])

    def _check_ends(self, books: Books) -> None:
        for request_id, hold in books.holds.items():
            kinds = self._events.get(request_id, [])
            if hold.state == HELD or not hold.parts:
                _require(not kinds, f"{request_id} has not ended and has events {kinds}")
                continue
            _require(bool(kinds) and kinds[0] in _ENDS, f"{request_id} ended with events {kinds}")
            _require(set(kinds[1:]) <= {kinds[0], "corrected"}, f"{request_id} ended more than once: {kinds}")
            _equal(f"charged for {request_id}", hold.charged, self._costs[request_id])

    def _check_limits(self, books: Books, used: dict[Place, int]) -> None:
        for (scope, duration, start), amount in used.items():
            limits = books.limits.get(scope)
            for budget in limits.b if limits else ():
                before = self._used.get((scope, duration, start), 0)
                if budget.duration == duration and amount > budget.limit:
                    _require(amount <= before, f"{scope} has used {amount} of {budget} in the window {start}")


def _held(books: Books) -> tuple[Counter[Place], Counter[str]]:
    held: Counter[Place] = Counter()
    running: Counter[str] = Counter()
    for hold in books.holds.values():
        if hold.state == HELD:
            for at, scope in enumerate(hold.scopes):
                running[scope] += not hold.reservation
                for part in hold.parts:
                    _add(held, scope, part.windows[at], part.amount)
    for reservation in books.reservations.values():
        if reservation.state == OPEN:
            for scope, starts in reservation.windows.items():
                _add(held, scope, starts, reservation.left)
    return held, running


def _add(held: Counter[Place], scope: str, starts: dict[str, int], amount: int) -> None:
    held[scope, "", 0] += amount
    for duration, start in starts.items():
        held[scope, duration, start] += amount


def _used_at(books: Books, scope: str, duration: str, now: int) -> int:
    """Settled and held in the scope's life, or in its window at `now`: a refusal has not saved the one it looked at."""
    state = books.states.get(scope)
    if state is None:
        return 0
    if duration == "total":
        return state.settled + state.held
    budget = next(budget for budget in books.limits[scope].b if budget.duration == duration)
    window = state.copy().roll(budget, now)
    return window.settled + window.held


def _used(books: Books) -> Iterator[tuple[Place, int]]:
    for scope, state in books.states.items():
        yield (scope, "total", 0), state.settled + state.held
        for duration, kept in state.windows.items():
            for window in (kept.present, *kept.aside.values()):
                yield (scope, duration, window.start), window.settled + window.held


def _equal(what: str, found: int, due: int) -> None:
    if found != due:
        raise ViolationError(f"{what} is {found}, and should be {due}")


def _require(true: bool, otherwise: str) -> None:  # noqa: FBT001 -- a condition
    if not true:
        raise ViolationError(otherwise)
