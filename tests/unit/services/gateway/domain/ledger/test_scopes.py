"""Scopes: limits as accounts write them, and the least that the budgets of all of them leave."""

from __future__ import annotations

from services.gateway.domain.accounts.records import Budget, Key, Limits, Tenant
from services.gateway.domain.ledger.limits import scope_limits
from services.gateway.domain.ledger.scopes import (
    Scope,
    ScopeLimits,
    ScopeState,
    least_room,
    request_budget,
    standing,
    unpack_limits,
    with_session_budget,
)
from services.gateway.domain.ledger.types import Rate, Standing
from services.gateway.domain.ledger.windows import BudgetLimit

MINUTE = 60_000_000


def scope(name="t", **limits):
    return Scope(name, ScopeLimits(**limits), ScopeState())


def total(limit):
    return BudgetLimit("total", 0, limit, -1, 0)


def test_limits_are_read_as_accounts_write_them():
    limits = Limits(
        requests_per_minute=1,
        tokens_per_minute=2,
        parallel_requests=3,
        session_budget_nanodollars=4,
        request_budget_nanodollars=5,
        budgets=(Budget(limit_nanodollars=6, duration="30m", soft_nanodollars=7, anchor_at=8.5),),
    )
    key = Key(tenant="acme", id="1", hmac="", limits=limits, expires_at=9.5, blocked=True)
    found = unpack_limits(scope_limits(key))
    assert found == ScopeLimits(
        1, 2, 3, (BudgetLimit("30m", 30 * MINUTE, 6, 7, 8_500_000),), 4, 5, None, 9_500_000, "blocked"
    )
    assert unpack_limits(scope_limits(Tenant(id="acme", reservations_max_nanodollars=3))).cap == 3
    assert unpack_limits(scope_limits(None)).off == "deleted"


def test_a_scope_is_closed_when_it_is_off_has_expired_or_was_never_made():
    assert scope().closed(0) == ""
    assert scope(off="blocked").closed(0) == "blocked"
    assert (scope(exp=5).closed(4), scope(exp=5).closed(5)) == ("", "expired")
    assert Scope("k:1", None, ScopeState()).closed(0) == "unknown"


def test_the_least_room_is_that_of_the_tightest_budget():
    assert least_room([scope(), scope()], 0) is None
    assert least_room([scope(b=(total(9),)), scope(b=(total(4), BudgetLimit("1m", MINUTE, 7, -1, 0)))], 0) == 4


def test_a_running_call_is_not_counted_by_budgets_that_came_later_but_for_totals():
    later = scope(b=(total(9), BudgetLimit("1m", MINUTE, 4, -1, 0)))
    assert least_room([later], 0, [{}]) == 9
    assert least_room([later], 0, [{"1m": 0}]) == 4


def test_the_least_of_the_scopes_above_is_the_session_trees_budget():
    scopes = with_session_budget([scope(ses=9), scope(ses=5), scope("s:1", b=(total(1),)), scope(ses=1)])
    assert scopes[2].limits == ScopeLimits(b=(total(5),))
    assert with_session_budget([scope(), scope("s:1", b=(total(1),))])[1].limits == ScopeLimits()


def test_the_least_request_budget_counts():
    assert request_budget([scope(), scope(req=7), scope(req=3)]) == 3
    assert request_budget([scope()]) is None


def test_what_is_told_is_the_tightest_of_all_scopes():
    loose, tight = scope(rpm=600, tpm=60), scope(rpm=60, b=(total(10),))
    loose.state.requests.fill(600, 10, 0)
    tight.state.requests.fill(60, 30, 0)
    tight.state.held = 12
    assert standing([loose, tight], 0) == Standing(Rate(60, 30, 30.0), Rate(60, 60, 0.0), 0)
    assert standing([scope()], 0) == Standing(None, None, None)
