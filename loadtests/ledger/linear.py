"""Looks for an order of concurrent operations that explains all their replies (Wing and Gong 1993, Lowe 2017).

An operation takes effect at one moment between its call and its reply. The search tries the operations that may come
next, those called before every other open one had replied, and remembers what led nowhere as (operations done, books).
It tries them in the order of their hints: where the store has told in which order it ran them, it need not turn back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.ledger.world import Operation
from services.gateway.domain.ledger.books import Books
from services.gateway.domain.ledger.model import TenantLedger


@dataclass(slots=True)
class Call:
    """An operation of one client, when it was called and when its reply had come (monotonic nanoseconds).

    `hint` is its place among the others as far as somebody knows it; no hint can make a wrong order right.
    """

    operation: Operation
    called_ns: int
    replied_ns: int
    reply: Any
    hint: int = 0


# Without hints the ways are as many as subsets of what is open at once.
_LOOK_MOST = 100_000


class UndecidedError(RuntimeError):
    """The search would take too long."""


Same = Callable[[Any, Any], bool]
Fits = Callable[[Books], bool]


def equal(due: Any, found: Any) -> bool:
    """Whether the model's reply is the one that was given."""
    return bool(due == found)


def explain(books: Books, calls: Sequence[Call], fits: Fits, ends: Fits, same: Same = equal) -> list[Call] | None:
    """An order that explains the replies and leads to books that `ends` accepts; None = there is none.

    `fits` says whether books may be on the way there; `same(due, found)` compares the model's reply with the one given.
    """
    return _Search(sorted(calls, key=lambda call: call.called_ns), fits, ends, same).run(books)


class _Search:
    def __init__(self, calls: list[Call], fits: Fits, ends: Fits, same: Same) -> None:
        self._calls = calls
        self._fits = fits
        self._ends = ends
        self._same = same
        self._dead: set[tuple[int, str]] = set()
        self._looked = 0

    def run(self, books: Books) -> list[Call] | None:
        order = self._from(books, 0)
        return None if order is None else [self._calls[at] for at in order]

    def _from(self, books: Books, done: int) -> list[int] | None:
        """`done` is a set of calls, as bits. The order of the others, if there is one."""
        if done == (1 << len(self._calls)) - 1:
            return [] if self._ends(books) else None
        self._looked += 1
        if self._looked > _LOOK_MOST:
            raise UndecidedError(
                f"no order found in {_LOOK_MOST} looks at {len(self._calls)} calls; give hints, or fewer"
            )
        place = (done, key_of(books))
        if place in self._dead:
            return None
        for at in self._possible(done):
            after = self._apply(books, self._calls[at])
            rest = self._from(after, done | 1 << at) if after is not None else None
            if rest is not None:
                return [at, *rest]
        self._dead.add(place)
        return None

    def _possible(self, done: int) -> list[int]:
        """Calls that may take effect next: no other open call had replied before they were called."""
        left = [at for at in range(len(self._calls)) if not done >> at & 1]
        first_reply = min(self._calls[at].replied_ns for at in left)
        possible = [at for at in left if self._calls[at].called_ns <= first_reply]
        return sorted(possible, key=lambda at: (self._calls[at].hint, self._calls[at].replied_ns))

    def _apply(self, books: Books, call: Call) -> Books | None:
        forked = fork(books)
        due = call.operation.on_model(TenantLedger(forked))
        return forked if self._same(due, call.reply) and self._fits(forked) else None


def fork(books: Books) -> Books:
    """Books that go their own way: operations replace what they change, but for reservations and the outbox."""
    return dataclasses.replace(
        books,
        limits=dict(books.limits),
        states=dict(books.states),
        holds=dict(books.holds),
        reservations={name: dataclasses.replace(kept) for name, kept in books.reservations.items()},
        outbox=list(books.outbox),
    )


def key_of(books: Books) -> str:
    """The same for books that behave the same from here on, whatever order led to them."""
    parts = (books.limits, books.states, books.holds, books.reservations)
    return repr([sorted(part.items(), key=lambda item: item[0]) for part in parts])
