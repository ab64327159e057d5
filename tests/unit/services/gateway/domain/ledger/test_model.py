"""What the contract suite cannot see from outside: what the model forgets, and that it changes nothing halfway."""

from __future__ import annotations

import pickle

from services.gateway.domain.ledger.books import ENDED_US
from services.gateway.domain.ledger.model import TenantLedger
from services.gateway.domain.ledger.scopes import ScopeLimits
from services.gateway.domain.ledger.types import Ask, End, Outcome, Progress, Settlement, UsageMeta
from services.gateway.domain.ledger.windows import BudgetLimit

META = UsageMeta("1", "", "", "small", "", "", {}, 1, 1, 1)
LEASE = 10


def ledger(**limits):
    made = TenantLedger()
    made.books.limits["t"] = ScopeLimits(**limits)
    return made


def ask(request_id="r1", amount=5, reservation=""):
    return Ask("acme", request_id, ("t",), amount, 0, META, Progress(), reservation)


def test_what_has_ended_is_remembered_for_an_hour_and_then_may_be_held_anew():
    made = ledger()
    made.hold(ask(), LEASE, None, 0)
    made.settle(Settlement("acme", "r1", End.SETTLED, Progress(3)), 100)
    assert made.hold(ask(), LEASE, None, 100 + ENDED_US - 1).outcome is Outcome.ENDED
    assert made.settle(Settlement("acme", "r1"), 100 + ENDED_US)[0] is Outcome.UNKNOWN
    assert made.hold(ask(), LEASE, None, 100 + ENDED_US).outcome is Outcome.OK


def test_a_hold_that_runs_is_never_forgotten():
    made = ledger()
    made.hold(ask(), LEASE, None, 0)
    assert made.settle(Settlement("acme", "r1", End.SETTLED, Progress(3)), 10 * ENDED_US) == (Outcome.OK, 3)


def test_a_reservation_that_was_released_is_forgotten_after_an_hour():
    made = ledger()
    made.reserve("j1", 5, ("t",), 0)
    made.release("j1", 7)
    assert made.reserve("j1", 5, ("t",), 6 + ENDED_US).outcome is Outcome.ENDED
    assert made.reserve("j1", 5, ("t",), 7 + ENDED_US).outcome is Outcome.OK


def test_what_is_refused_changes_nothing_at_all_not_even_the_window():
    made = ledger(rpm=1, b=(BudgetLimit("1m", 60_000_000, 5, -1, 0),))
    made.hold(ask(), LEASE, None, 0)
    made.reserve("j1", 0, ("t",), 0)
    before = pickle.dumps(made.books)
    later = 120_000_000
    assert made.hold(ask("r2", 6), LEASE, None, later).outcome is Outcome.NO
    assert made.reserve("j2", 6, ("t",), later).outcome is Outcome.NO
    assert pickle.dumps(made.books) == before


def test_overdue_holds_that_are_not_in_the_way_are_left_alone():
    made = ledger(req=4)
    made.hold(ask(amount=1), LEASE, None, 0)
    assert made.hold(ask("r2"), LEASE, 0, 1000).refusal.kind == "request"
    assert made.books.holds["r1"].state == "held"


def test_what_is_shown_of_an_overdue_hold_can_be_ended_once():
    made = ledger()
    made.hold(ask(), LEASE, None, 0)
    (due,) = made.overdue(10, LEASE)
    assert due.age_us == LEASE
    assert made.end(due, End.EXPIRED, Progress(2), LEASE)
    assert not made.end(due, End.EXPIRED, Progress(2), LEASE)
