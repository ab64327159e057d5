"""The ledger of one tenant as a pure model: the specification of the store's functions, to the nano-dollar.

Every operation takes the time as an argument, decides at once and for all scopes, or changes nothing. The store's
functions (adapters/ledger/functions) are held to this model by random operations, crashes included.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.domain.ledger.books import Books
from services.gateway.domain.ledger.drawing import Drawn, drawn, drawn_part, own_part, take, windows_drawn
from services.gateway.domain.ledger.endings import correct, expire_overdue, finish
from services.gateway.domain.ledger.hold_record import HELD, NOTHING, OPEN, RELEASED, Hold, Part, Reservation
from services.gateway.domain.ledger.refusals import may_grow, refusal, reservation_refusal
from services.gateway.domain.ledger.scopes import TENANT, Scope, Starts, standing
from services.gateway.domain.ledger.types import (
    Ask,
    End,
    HoldReply,
    OutboxEntry,
    Outcome,
    Overdue,
    Progress,
    Refusal,
    ReservationState,
    ScopeTotals,
    Settlement,
    Terms,
)

# Overdue holds that one refused call ends at most.
EXPIRE_MOST = 100
# What running calls hold may come back when those are gone that will never end by themselves.
_MAY_COME_BACK = ("parallel", "held")


class TenantLedger:
    """Times are microseconds since the epoch, amounts nano-dollars. `books` is all that it keeps."""

    def __init__(self, books: Books | None = None) -> None:
        self.books = books or Books()

    def hold(self, ask: Ask, lease_us: int, grace_us: int | None, now: int) -> HoldReply:
        """Checks and holds for a call. A repeat changes nothing and tells what is held by then.

        With a grace, holds that are overdue by more are ended where they are in the way.
        """
        known = self.books.hold(ask.request_id, now)
        if known is not None:
            told = standing(self.books.load(ask.scopes), now)
            ended = None if known.state == HELD else End(known.state)
            outcome = Outcome.OK if ended is None else Outcome.ENDED
            return HoldReply(outcome, now, told, known.amount, known.tokens, ended=ended)
        scopes, found, no = self._check(ask, now)
        may_help = no is not None and no.kind in _MAY_COME_BACK and grace_us is not None
        if may_help and expire_overdue(self.books, now, grace_us or 0, EXPIRE_MOST):
            scopes, found, no = self._check(ask, now)
        if no is not None:
            return HoldReply(Outcome.NO, now, standing(scopes, now), refusal=no)
        self._begin(ask, scopes, found, ask.prompt, now, now + lease_us, now)
        return HoldReply(Outcome.OK, now, standing(scopes, now), ask.amount, ask.tokens)

    def _check(self, ask: Ask, now: int) -> tuple[Sequence[Scope], Drawn, Refusal | None]:
        scopes = self.books.load(ask.scopes)
        found = drawn(self.books, ask.reservation, ask.scopes, ask.amount, now)
        return scopes, found, refusal(scopes, ask, found, now)

    def _begin(
        self, ask: Ask, scopes: Sequence[Scope], found: Drawn, progress: Progress, at_us: int, lease_us: int, now: int
    ) -> None:
        """Holds for a call that was held at `at_us`, unchecked."""
        hold = Hold(HELD, ask.amount, ask.tokens, at_us, lease_us, ask.scopes, meta=ask.meta, progress=progress)
        hold.reservation = ask.reservation
        hold.parts = self._parts(ask, scopes, found, at_us)
        take(self.books, ask.reservation, found.amount)
        self._take(ask.request_id, hold, scopes, now)

    def _parts(self, ask: Ask, scopes: Sequence[Scope], found: Drawn, at_us: int) -> list[Part]:
        """What is drawn counts in the reservation's windows; the rest, or an amount of nothing, in those of `at_us`."""
        own = [scope.windows_at(at_us) for scope in scopes]
        parts = []
        if found.amount > 0:
            where = windows_drawn(self.books, ask.reservation, scopes, own)
            parts.append(Part(found.amount, where, ask.reservation, found.covers))
        if found.amount < ask.amount or found.amount == 0:
            parts.append(Part(ask.amount - found.amount, own))
        return parts

    def _take(self, request_id: str, hold: Hold, scopes: Sequence[Scope], now: int) -> None:
        for at, scope in enumerate(scopes):
            for part in hold.parts:
                _hold_more(scope, at, part, part.amount)
            if not hold.reservation:
                scope.state.running += 1
                if scope.bounds.rpm is not None:
                    scope.state.requests.fill(scope.bounds.rpm, 1, now)
        _give_tokens(hold, scopes, hold.tokens, now)
        self.books.save(scopes)
        self.books.holds[request_id] = hold

    def extend(self, request_id: str, amount: int, tokens: int, progress: Progress, lease_us: int, now: int) -> Outcome:
        """Holds more for a running call, reports its progress, renews its lease. Refused, it still does the latter two.

        A repeat holds more again: what is too much comes back when the call ends.
        """
        hold = self.books.hold(request_id, now)
        if hold is None or hold.state != HELD:
            return Outcome.UNKNOWN if hold is None else Outcome.ENDED
        outcome = self._may_grow(hold, amount, tokens, now) if amount else Outcome.OK
        self._renew(request_id, hold, progress, now + lease_us)
        return outcome

    def _may_grow(self, hold: Hold, amount: int, tokens: int, now: int) -> Outcome:
        scopes = self.books.load(hold.scopes)
        windows = _windows_to_grow(hold, scopes, now)
        found = drawn(self.books, hold.reservation, hold.scopes, amount, now)
        outcome = may_grow(hold, scopes, amount, found, windows, now)
        if outcome is Outcome.OK:
            self._grow(hold, scopes, windows, amount, tokens, now)
        return outcome

    def _grow(
        self, hold: Hold, scopes: Sequence[Scope], windows: list[Starts], amount: int, tokens: int, now: int
    ) -> None:
        """What its reservation has is drawn first."""
        found = drawn(self.books, hold.reservation, hold.scopes, amount, now)
        if found.amount > 0:
            where = windows_drawn(self.books, hold.reservation, scopes, windows)
            take(self.books, hold.reservation, found.amount)
            _add(scopes, drawn_part(hold, where, found.covers), found.amount)
        if amount > found.amount:
            own = own_part(hold)
            if own is None:
                own = Part(0, windows)
                hold.parts.append(own)
            own.windows = windows
            _add(scopes, own, amount - found.amount)
        _give_tokens(hold, scopes, tokens, now)
        self.books.save(scopes)
        hold.amount += amount
        hold.tokens += tokens

    def _renew(self, request_id: str, hold: Hold, progress: Progress, lease_us: int) -> None:
        """Reports may arrive out of order: the one with more of the answer is the later one."""
        if progress.completion_tokens >= hold.progress.completion_tokens:
            hold.progress = progress
        hold.lease_us = lease_us
        self.books.holds[request_id] = hold

    def settle(self, settlement: Settlement, now: int) -> tuple[Outcome, int]:
        """Ends a call, settled or refunded; returns what it is charged in all. A repeat changes nothing.

        A refund of a hold that is not there yet makes sure that it is refused when it comes. A call that has expired
        is corrected.
        """
        request_id, refunded = settlement.request_id, settlement.end is End.REFUNDED
        hold = self.books.hold(request_id, now)
        used = NOTHING if refunded else settlement.progress
        if hold is None:
            if not refunded:
                return Outcome.UNKNOWN, 0
            self.books.holds[request_id] = Hold(End.REFUNDED.value, ended_us=now)
            return Outcome.OK, 0
        if hold.state == HELD:
            cost = finish(self.books, request_id, hold, settlement.end, used, settlement.platform, now)
        elif hold.state == End.EXPIRED:
            cost = correct(self.books, request_id, hold, used, settlement.platform, now)
        else:
            cost = hold.charged
        return Outcome.OK, cost

    def redeclare(self, ask: Ask, at_us: int, progress: Progress, lease_us: int, now: int) -> Outcome:
        """Takes up, unchecked, what an earlier life of the store had granted at `at_us`. A repeat changes nothing."""
        hold, scopes = self.books.hold(ask.request_id, now), self.books.load(ask.scopes)
        if hold is not None and hold.state != HELD:
            return Outcome.ENDED
        if hold is None:
            found = drawn(self.books, ask.reservation, ask.scopes, ask.amount, now)
            self._begin(ask, scopes, found, progress, at_us, now + lease_us, now)
            return Outcome.OK
        if ask.amount > hold.amount:
            windows = _windows_to_grow(hold, scopes, now)
            self._grow(hold, scopes, windows, ask.amount - hold.amount, max(0, ask.tokens - hold.tokens), now)
        self._renew(ask.request_id, hold, progress, now + lease_us)
        return Outcome.OK

    def overdue(self, limit: int, now: int) -> list[Overdue]:
        """Holds whose lease is over, the longest overdue first."""
        found = [(request_id, self.books.holds[request_id]) for request_id in self.books.overdue(now, limit)]
        return [
            Overdue(request_id, hold.lease_us, hold.meta, hold.progress, now - hold.at_us)
            for request_id, hold in found
            if hold.meta is not None
        ]

    def end(self, overdue: Overdue, end: End, progress: Progress, now: int) -> bool:
        """Ends one overdue hold at what the workers say; False when it was renewed or ended meanwhile."""
        hold = self.books.hold(overdue.request_id, now)
        if hold is None or hold.state != HELD or hold.lease_us != overdue.lease_us or hold.lease_us > now:
            return False
        hold.progress = NOTHING if end is End.REFUNDED else progress
        finish(self.books, overdue.request_id, hold, end, hold.progress, 0, now)
        return True

    def expire(self, grace_us: int, limit: int, now: int) -> int:
        """Ends what is overdue by the grace at its last reported progress; how many."""
        return expire_overdue(self.books, now, grace_us, limit)

    def reserve(
        self, reservation_id: str, amount: int, names: Sequence[str], now: int, terms: Terms | None = None
    ) -> HoldReply:
        """Sets an amount aside, without a lease. A repeat changes nothing."""
        scopes = self.books.load(names)
        known = self.books.reservation(reservation_id, now)
        if known is not None:
            outcome = Outcome.OK if known.state == OPEN else Outcome.ENDED
            return HoldReply(outcome, now, standing(scopes, now), known.amount)
        no = reservation_refusal(scopes, amount, now)
        if no is not None:
            return HoldReply(Outcome.NO, now, standing(scopes, now), refusal=no)
        windows = {scope.name: scope.windows_at(now) for scope in scopes}
        kept = Reservation(OPEN, amount, amount, tuple(names), windows, terms=terms or Terms())
        self._reserve(scopes, kept, amount)
        self.books.reservations[reservation_id] = kept
        return HoldReply(Outcome.OK, now, standing(scopes, now), amount)

    def find(self, reservation_id: str, now: int) -> ReservationState | None:
        """A reservation, None = there is none, or it was released long ago."""
        found = self.books.reservation(reservation_id, now)
        return None if found is None else ReservationState(found.state == OPEN, found.left, found.terms)

    def release(self, reservation_id: str, now: int) -> int:
        """Frees what a reservation has left and returns it; holds that drew on it keep what they have.

        One that is not there yet is refused when it comes: nobody would release it any more.
        """
        found = self.books.reservation(reservation_id, now)
        if found is None:
            self.books.reservations[reservation_id] = Reservation(RELEASED, 0, 0, (), {}, ended_us=now)
            return 0
        if found.state != OPEN:
            return 0
        left = found.left
        self._reserve(self.books.load(found.scopes), found, -left)
        found.state, found.left, found.ended_us = RELEASED, 0, now
        return left

    def _reserve(self, scopes: Sequence[Scope], reservation: Reservation, difference: int) -> None:
        for scope in scopes:
            scope.state.held += difference
            scope.state.move(reservation.windows[scope.name], 0, difference)
            if scope.name == TENANT:
                scope.state.reserved += difference
        self.books.save(scopes)

    def dump(self) -> dict[str, ScopeTotals]:
        """Every scope that has a state."""
        return {
            name: ScopeTotals(
                state.settled,
                state.held,
                state.running,
                {
                    duration: (kept.present.start, kept.present.settled, kept.present.held)
                    for duration, kept in state.windows.items()
                },
            )
            for name, state in self.books.states.items()
        }

    def outbox(self) -> Sequence[OutboxEntry]:
        """What was decided, in order."""
        return self.books.outbox


def _add(scopes: Sequence[Scope], part: Part, amount: int) -> None:
    part.amount += amount
    for at, scope in enumerate(scopes):
        _hold_more(scope, at, part, amount)


def _hold_more(scope: Scope, at: int, part: Part, amount: int) -> None:
    """What a reservation covers is held in the scope already."""
    if not part.is_covered(at):
        scope.state.held += amount
        scope.state.move(part.windows[at], 0, amount)


def _give_tokens(hold: Hold, scopes: Sequence[Scope], tokens: int, now: int) -> None:
    """Puts tokens into the minute's buckets; those of a reservation's call leave them to live calls."""
    if hold.reservation:
        return
    hold.granted, hold.given = tokens, []
    for scope in scopes:
        bucket, limit = scope.state.tokens, scope.bounds.tpm
        if limit is not None:
            bucket.fill(limit, tokens, now)
        hold.given.append(None if limit is None else bucket.given)


def _windows_to_grow(hold: Hold, scopes: Sequence[Scope], now: int) -> list[Starts]:
    """The windows that more of a hold counts in: its own, or the present ones if it holds nothing of its own."""
    own = own_part(hold)
    if own is None or own.amount == 0:
        return [scope.windows_at(now) for scope in scopes]
    return own.windows
