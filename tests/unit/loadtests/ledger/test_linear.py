"""The search for an order: it finds what there is, and nothing that time or a reply forbids."""

from __future__ import annotations

import pytest

from loadtests.ledger import linear
from loadtests.ledger.linear import Call, UndecidedError, explain
from loadtests.ledger.world import Operation
from services.gateway.domain.ledger.books import Books
from services.gateway.domain.ledger.scopes import ScopeLimits
from services.gateway.domain.ledger.types import Ask, Outcome, Progress, UsageMeta
from services.gateway.domain.ledger.windows import BudgetLimit

META = UsageMeta("1", "", "", "small", "", "", {}, 1, 1, 1)
LEASE = 10


def books(limit):
    return Books(limits={"t": ScopeLimits(b=(BudgetLimit("total", 0, limit, -1, 0),))})


def hold(name, amount, called, replied, outcome):
    ask = Ask("acme", name, ("t",), amount, 0, META, Progress())
    operation = Operation("hold", 0, lambda model: model.hold(ask, LEASE, None, 0).outcome, None)
    return Call(operation, called, replied, outcome)


def running(called, replied, number):
    """A look at how many calls run."""

    def look(model):
        state = model.books.states.get("t")
        return state.running if state else 0

    return Call(Operation("look", 0, look, None), called, replied, number)


def order_of(calls, limit=100):
    return explain(books(limit), calls, lambda _: True, lambda _: True)


def test_an_order_is_found_among_calls_that_overlap():
    late, early = hold("r1", 60, 0, 10, Outcome.NO), hold("r2", 60, 5, 10, Outcome.OK)
    assert order_of([late, early]) == [early, late]


def test_two_that_only_one_had_room_for_have_no_order():
    assert order_of([hold("r1", 60, 0, 10, Outcome.OK), hold("r2", 60, 5, 10, Outcome.OK)]) is None


def test_a_refusal_that_nothing_explains_has_no_order():
    assert order_of([hold("r1", 40, 0, 10, Outcome.OK), hold("r2", 60, 5, 10, Outcome.NO)]) is None


def test_a_read_of_the_past_is_no_order():
    assert order_of([hold("r1", 60, 0, 10, Outcome.OK), running(20, 30, 0)]) is None
    assert order_of([hold("r1", 60, 0, 10, Outcome.OK), running(5, 30, 0)]) is not None


def test_an_order_must_end_in_books_that_are_accepted():
    calls = [hold("r1", 60, 0, 10, Outcome.OK)]
    assert explain(books(100), calls, lambda _: True, lambda books: "r2" in books.holds) is None


def test_hints_only_say_where_to_look_first():
    calls = [hold("r1", 60, 0, 10, Outcome.NO), hold("r2", 60, 5, 10, Outcome.OK)]
    calls[0].hint, calls[1].hint = 1, 2
    assert order_of(calls) == [calls[1], calls[0]]


def test_a_search_that_takes_too_long_says_so(monkeypatch):
    monkeypatch.setattr(linear, "_LOOK_MOST", 50)
    calls = [hold(f"r{number}", 1, 0, 100, Outcome.OK) for number in range(12)]
    with pytest.raises(UndecidedError):
        order_of([*calls, running(0, 100, 99)])
