"""How a hold ends: settled, refunded or expired, and what changes when an expired call turns up after all."""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.domain.ledger.books import Books
from services.gateway.domain.ledger.drawing import charge_drawn
from services.gateway.domain.ledger.hold_record import OPEN, Hold, Part, lay, lay_back, tokens_beyond
from services.gateway.domain.ledger.scopes import TENANT, Scope, least_room
from services.gateway.domain.ledger.types import End, Progress


def finish(books: Books, request_id: str, hold: Hold, end: End, used: Progress, platform: int, now: int) -> int:
    """Ends a running hold: charges `used.cost`, frees the rest. Returns what was charged.

    What is more than was held is charged to its reservation, then in the present windows as far as every budget has
    room; the operator bears the rest, beside `platform`.
    """
    scopes = books.load(hold.scopes)
    charges, rest = lay(hold.parts, used.cost)
    hold.borne = rest - _charge_more(books, scopes, hold, charges, rest, now)
    for part, charge in zip(hold.parts, charges, strict=True):
        part.charged = charge
        kept = _give_back(books, part, now)
        for at, scope in enumerate(scopes):
            _free(scope, at, part, part.amount - kept if part.is_covered(at) else part.amount)
    if not hold.reservation:
        for scope, given in zip(scopes, hold.given, strict=True):
            scope.state.running -= 1
            _correct_tokens(scope, hold, given, used, now)
    _conclude(books, request_id, hold, end, scopes, charges, platform + hold.borne, used, now)
    return hold.charged


def correct(books: Books, request_id: str, hold: Hold, used: Progress, platform: int, now: int) -> int:
    """An expired call says what it really used: more is charged as in `finish`, less goes back to where it was charged.

    What the operator bore is borne anew. Returns what it is charged in all.
    """
    scopes, more = books.load(hold.scopes), used.cost - hold.charged
    charges = lay_back(hold.parts, max(0, -more))
    platform += max(0, more) - _charge_more(books, scopes, hold, charges, more, now) - hold.borne
    told = tokens_beyond(used, hold.progress)
    _conclude(books, request_id, hold, End.SETTLED, scopes, charges, platform, told, now, kind="corrected")
    return hold.charged


def expire_overdue(books: Books, now: int, grace_us: int, most: int) -> int:
    """Ends what is overdue by the grace, at its last reported progress; how many."""
    overdue = books.overdue(now - grace_us, most)
    for request_id in overdue:
        hold = books.holds[request_id].copy()
        finish(books, request_id, hold, End.EXPIRED, hold.progress, 0, now)
    return len(overdue)


def _charge_more(books: Books, scopes: Sequence[Scope], hold: Hold, charges: list[int], rest: int, now: int) -> int:
    """Adds parts for as much of `rest` as its reservation has, then as every budget has room for; returns how much."""
    if rest <= 0:
        return 0
    rooms, more = [least_room([scope], now) for scope in scopes], 0
    if taken := charge_drawn(books, scopes, hold, rest, rooms, now):
        hold.parts.append(taken[0])
        charges.append(taken[1])
        more = taken[1]
    room = max(0, min([rest - more, *(room for room in rooms if room is not None)]))
    if room > 0:
        hold.parts.append(Part(0, [scope.windows_at(now) for scope in scopes]))
        charges.append(room)
    return more + room


def _give_back(books: Books, part: Part, now: int) -> int:
    """What was drawn and not used goes back to its reservation, if that is open; returns how much."""
    reservation = books.reservation(part.reservation, now) if part.reservation else None
    unused = part.amount - part.charged
    if reservation is None or reservation.state != OPEN or unused <= 0:
        return 0
    reservation.left += unused
    return unused


def _free(scope: Scope, at: int, part: Part, freed: int) -> None:
    scope.state.held -= freed
    scope.state.move(part.windows[at], 0, -freed)
    if scope.name == TENANT and part.is_covered(at):
        scope.state.reserved -= freed


def _correct_tokens(scope: Scope, hold: Hold, given: int | None, used: Progress, now: int) -> None:
    limit, more = scope.bounds.tpm, used.prompt_tokens + used.completion_tokens - hold.tokens
    if limit is None:
        return
    if more >= 0:
        scope.state.tokens.fill(limit, more, now)
    elif given is not None:
        scope.state.tokens.take_back(limit, min(-more, hold.granted), given, now)


def _conclude(
    books: Books,
    request_id: str,
    hold: Hold,
    end: End,
    scopes: Sequence[Scope],
    charges: Sequence[int],
    platform: int,
    used: Progress,
    now: int,
    kind: str = "",
) -> None:
    """Charges the parts, tells of soft limits that are crossed, publishes, and remembers how the hold ended."""
    for at, scope in enumerate(scopes):
        for part, charge in zip(hold.parts, charges, strict=True):
            scope.state.settled += charge
            scope.state.move(part.windows[at], charge, 0)
        books.publish_soft(scope, hold.meta, now)
    books.save(scopes)
    books.publish_charges(kind or end.value, request_id, hold, charges, platform, used, now)
    hold.state, hold.ended_us = end.value, now
    hold.charged += sum(charges)
    books.holds[request_id] = hold
