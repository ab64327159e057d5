"""What calls take out of a reservation: held in its scopes already, so that only the others are asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.gateway.domain.ledger.books import Books
from services.gateway.domain.ledger.hold_record import OPEN, Hold, Part
from services.gateway.domain.ledger.scopes import TENANT, Scope, Starts


class Drawn(NamedTuple):
    """What is taken from a reservation, and in which scopes of the call it is held already."""

    amount: int
    covers: tuple[bool, ...]


def drawn(books: Books, reservation_id: str, names: Sequence[str], amount: int, now: int) -> Drawn:
    """As much of `amount` as the reservation has; nothing is taken yet.

    All its scopes must be the call's, too: in another one what was drawn would stay held.
    """
    found = books.reservation(reservation_id, now) if reservation_id else None
    if found is None or found.state != OPEN or not set(found.scopes) <= set(names):
        return Drawn(0, (False,) * len(names))
    return Drawn(min(found.left, amount), tuple(name in found.windows for name in names))


def take(books: Books, reservation_id: str, amount: int) -> None:
    """Takes what is drawn."""
    if amount > 0:
        books.reservations[reservation_id].left -= amount


def windows_drawn(books: Books, reservation_id: str, scopes: Sequence[Scope], own: Sequence[Starts]) -> list[Starts]:
    """What is drawn counts in the reservation's windows; in scopes that it does not cover, in `own`."""
    windows = books.reservations[reservation_id].windows
    return [windows.get(scope.name, own[at]) for at, scope in enumerate(scopes)]


def own_part(hold: Hold) -> Part | None:
    """The last part that the limits hold, None = all is drawn."""
    return next((part for part in reversed(hold.parts) if not part.reservation), None)


def drawn_part(hold: Hold, windows: list[Starts], covers: tuple[bool, ...]) -> Part:
    """The part of a hold for more that is drawn: one that counts in the same windows, or another."""
    for part in hold.parts:
        if part.reservation and part.windows == windows:
            return part
    hold.parts.append(Part(0, windows, hold.reservation, covers))
    return hold.parts[-1]


def charge_drawn(
    books: Books, scopes: Sequence[Scope], hold: Hold, rest: int, rooms: list[int | None], now: int
) -> tuple[Part, int] | None:
    """A part for what cost more than its hold, and what it is charged, as far as the reservation has it and the scopes
    beside it have room; None = nothing.

    It is free in the reservation's windows, and to be charged there at once. `rooms` by scope are those before the
    charge, and after it.
    """
    found = drawn(books, hold.reservation, hold.scopes, rest, now)
    beside = [room for at, room in enumerate(rooms) if room is not None and not found.covers[at]]
    amount = max(0, min([found.amount, *beside]))
    if amount == 0:
        return None
    windows = windows_drawn(books, hold.reservation, scopes, [scope.windows_at(now) for scope in scopes])
    take(books, hold.reservation, amount)
    for at, scope in enumerate(scopes):
        room = rooms[at]
        if found.covers[at]:
            scope.state.held -= amount
            scope.state.move(windows[at], 0, -amount)
            scope.state.reserved -= amount if scope.name == TENANT else 0
        elif room is not None:
            rooms[at] = room - amount
    return Part(0, windows), amount
