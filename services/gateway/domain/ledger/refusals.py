"""Why something may not be held. Checks only; amounts are nano-dollars, times microseconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.gateway.domain.ledger.buckets import Bucket, wait_us
from services.gateway.domain.ledger.drawing import Drawn
from services.gateway.domain.ledger.hold_record import Hold
from services.gateway.domain.ledger.scopes import Scope, Starts, least_room, request_budget
from services.gateway.domain.ledger.types import Ask, Outcome, Refusal
from services.gateway.domain.ledger.windows import BudgetLimit

NEVER = -1


def refusal(scopes: Sequence[Scope], ask: Ask, drawn: Drawn, now: int) -> Refusal | None:
    """The first of these that is in the way: a closed scope, the request's own budget, a rate, a budget.

    Nothing else refuses: a call whose settled + held + asked fits every limit is held. A call of a reservation is
    neither paced nor counted among those in parallel: it waits behind live calls, and must not be in their way.
    """
    return next(_in_the_way(scopes, ask, drawn, now), None)


def _in_the_way(scopes: Sequence[Scope], ask: Ask, drawn: Drawn, now: int) -> Iterator[Refusal]:
    yield from _closed(scopes, now)
    most = request_budget(scopes)
    if most is not None and ask.amount > most:
        yield Refusal("request", "request", most, NEVER)
    for scope in () if ask.reservation else scopes:
        yield from _paced(scope, ask.tokens, now)
    for at, scope in enumerate(scopes):
        needed = _beyond(ask.amount, drawn, at)
        if needed > 0:
            yield from _spent(scope, needed, now)


def _beyond(amount: int, drawn: Drawn, at: int) -> int:
    """What that scope has to have room for beside what is drawn."""
    return amount - drawn.amount if drawn.covers[at] else amount


def _closed(scopes: Sequence[Scope], now: int) -> Iterator[Refusal]:
    for scope in scopes:
        if why := scope.closed(now):
            yield Refusal("off", scope.name, why, NEVER)


def _paced(scope: Scope, tokens: int, now: int) -> Iterator[Refusal]:
    limits, state = scope.bounds, scope.state
    yield from _bucket("requests", scope, state.requests, limits.rpm, 1, now)
    if limits.par is not None and state.running + 1 > limits.par:
        yield Refusal("parallel", scope.name, limits.par, NEVER)
    yield from _bucket("tokens", scope, state.tokens, limits.tpm, tokens, now)


def _bucket(kind: str, scope: Scope, bucket: Bucket, limit: int | None, units: int, now: int) -> Iterator[Refusal]:
    if limit is None:
        return
    wait = wait_us(bucket.drained(limit, now), limit, units)
    if wait != 0:
        yield Refusal(kind, scope.name, limit, NEVER if wait is None else wait)


def _spent(scope: Scope, needed: int, now: int) -> Iterator[Refusal]:
    for budget in scope.bounds.b:
        room = scope.room(budget, now)
        if room < needed:
            yield _over_budget(scope, budget, room, needed, now)


def _over_budget(scope: Scope, budget: BudgetLimit, room: int, needed: int, now: int) -> Refusal:
    """What running calls hold may come back; what is settled will not before the window ends."""
    if budget.length_us == 0:
        held, wait = scope.state.held, NEVER
    else:
        window = scope.state.roll(budget, now)
        held, wait = window.held, window.start + budget.length_us - now
    kind = "budget" if room + held < needed else "held"
    return Refusal(kind, scope.name, budget.limit, wait, budget.duration)


def reservation_refusal(scopes: Sequence[Scope], amount: int, now: int) -> Refusal | None:
    """Why an amount cannot be set aside: the tenant's cap, a closed scope, a budget. Rates do not matter to it."""
    cap = scopes[0].bounds.cap
    if cap is not None and scopes[0].state.reserved + amount > cap:
        return Refusal("reserved", scopes[0].name, cap, NEVER)
    for scope in scopes:
        if why := scope.closed(now):
            return Refusal("off", scope.name, why, NEVER)
        for budget in scope.bounds.b:
            if scope.room(budget, now) < amount:
                return Refusal("budget", scope.name, budget.limit, NEVER, budget.duration)
    return None


def may_grow(
    hold: Hold, scopes: Sequence[Scope], amount: int, drawn: Drawn, windows: Sequence[Starts], now: int
) -> Outcome:
    """Whether a running call may hold `amount` more: OK, NO or OFF. What it draws is asked of no budget.

    Minutes do not matter: a running answer is not cut for them.
    """
    if any(scope.closed(now) for scope in scopes):
        return Outcome.OFF
    most = request_budget(scopes)
    if most is not None and hold.amount + amount > most:
        return Outcome.NO
    for at, scope in enumerate(scopes):
        needed, room = _beyond(amount, drawn, at), least_room([scope], now, [windows[at]])
        if needed > 0 and room is not None and room < needed:
            return Outcome.NO
    return Outcome.OK
