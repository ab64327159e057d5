"""Reservations: set aside, drawn on, given back, released."""

from __future__ import annotations

from services.gateway.domain.ledger.types import Outcome, Refusal
from tests.contract.services.gateway.adapters.ledger.desk import MINUTE, SCOPES, START, budget, used

TENANT_AND_KEY = ("t", "k:1")


def test_a_reservation_is_held_in_its_scopes(desk):
    desk.limit("t", b=[budget(100)])
    reply = desk.reserve("j1", 60)
    assert (reply.outcome, reply.amount, reply.standing.budget_remaining) == (Outcome.OK, 60, 40)
    assert desk.refused("r1", 41) == Refusal("held", "t", 100, -1, "total")


def test_a_reservation_that_does_not_fit_is_refused(desk):
    desk.limit("k:1", b=[budget(50, "1m", MINUTE)])
    before = desk.everything()
    assert desk.reserve("j1", 51, TENANT_AND_KEY).refusal == Refusal("budget", "k:1", 50, -1, "1m")
    desk.limit("t", off="blocked")
    assert desk.reserve("j1", 1).refusal == Refusal("off", "t", "blocked", -1)
    assert desk.everything() == before


def test_all_reservations_of_a_tenant_together_are_capped(desk):
    desk.limit("t", cap=100)
    desk.reserve("j1", 60)
    assert desk.reserve("j2", 41).refusal == Refusal("reserved", "t", 100, -1)
    assert desk.reserve("j2", 40).outcome is Outcome.OK
    desk.release("j1")
    assert desk.reserve("j3", 60).outcome is Outcome.OK


def test_what_jobs_have_spent_counts_against_the_cap_no_more(desk):
    desk.limit("t", cap=100)
    for number in range(5):
        desk.reserve("j", 100) if number == 0 else desk.reserve(f"j{number}", 100)
        name = "j" if number == 0 else f"j{number}"
        desk.held(f"r{number}", 80, reservation=name)
        desk.settle(f"r{number}", used(70))
        assert desk.release(name) == 30
    assert desk.reserve("last", 100).outcome is Outcome.OK


def test_a_reservation_that_comes_again_changes_nothing(desk):
    desk.reserve("j1", 60)
    before = desk.everything()
    again = desk.reserve("j1", 60)
    assert (again.outcome, again.amount) == (Outcome.OK, 60)
    assert desk.everything() == before
    desk.release("j1")
    assert desk.reserve("j1", 60).outcome is Outcome.ENDED


def test_a_call_of_the_job_draws_on_it_where_nothing_else_has_room(desk):
    desk.limit("t", b=[budget(100)])
    desk.reserve("j1", 100)
    desk.held("r1", 70, reservation="j1")
    assert desk.totals("t").held == 100
    assert desk.totals("k:1").held == 70
    desk.settle("r1", used(50))
    assert (desk.totals("t").settled, desk.totals("t").held) == (50, 50)
    desk.held("r2", 50, reservation="j1")


def test_what_the_reservation_has_not_comes_from_the_limits(desk):
    desk.limit("t", b=[budget(100)])
    desk.reserve("j1", 60)
    assert desk.refused("r1", 101, reservation="j1").kind == "held"
    desk.held("r1", 100, reservation="j1")
    assert desk.totals("t").held == 100
    desk.settle("r1", used(90))
    assert (desk.totals("t").settled, desk.totals("t").held) == (90, 0)


def test_a_scope_that_the_reservation_does_not_cover_is_checked(desk):
    desk.limit("k:1", b=[budget(30)])
    desk.reserve("j1", 100)
    assert desk.refused("r1", 31, reservation="j1").scope == "k:1"
    desk.held("r1", 30, reservation="j1")


def test_a_call_outside_one_of_its_scopes_does_not_draw_on_it(desk):
    desk.open("k:2")
    desk.reserve("j1", 100, ("t", "k:2"))
    desk.held("r1", 40, reservation="j1")
    assert desk.totals("t").held == 140
    desk.settle("r1", used(40))
    assert desk.release("j1") == 100
    assert {scope: totals.held for scope, totals in desk.dump().items()} == dict.fromkeys((*SCOPES, "k:2"), 0)


def test_released_while_drawn_on_the_call_keeps_what_it_has(desk):
    desk.reserve("j1", 100)
    desk.held("r1", 70, reservation="j1")
    assert desk.release("j1") == 30
    assert desk.totals("t").held == 70
    desk.settle("r1", used(20))
    assert (desk.totals("t").settled, desk.totals("t").held) == (20, 0)


def test_a_release_that_comes_again_frees_nothing(desk):
    desk.reserve("j1", 100)
    assert (desk.release("j1"), desk.release("j1"), desk.release("none")) == (100, 0, 0)
    assert desk.totals("t").held == 0


def test_a_reservation_that_was_released_is_not_drawn_on(desk):
    desk.limit("t", b=[budget(100)])
    desk.reserve("j1", 100)
    desk.release("j1")
    desk.held("r1", 60, reservation="j1")
    desk.held("r2", 40, reservation="never")
    assert desk.totals("t").held == 100


def test_what_is_drawn_counts_in_the_window_of_the_reservation(desk):
    desk.limit("t", b=[budget(100, "1m", MINUTE)])
    desk.reserve("j1", 100)
    desk.pass_time(MINUTE)
    desk.held("r1", 100, reservation="j1")
    desk.held("r2", 100)
    desk.settle("r1", used(80))
    assert desk.window("1m", "t") == (0, 100)
    assert desk.events()[0].windows["t"] == {"1m": START * 1_000_000}


def test_an_extension_beyond_what_was_drawn_counts_in_the_present_window(desk):
    desk.limit("t", b=[budget(100, "1m", MINUTE)])
    desk.reserve("j1", 20)
    desk.pass_time(MINUTE)
    desk.held("r1", 20, reservation="j1")
    assert desk.extend("r1", 100) is Outcome.OK
    assert desk.extend("r1", 1) is Outcome.NO
    assert desk.window("1m", "t") == (0, 100)
    desk.settle("r1", used(110))
    assert [event.cost for event in desk.events()] == [20, 90]


def test_an_expired_call_gives_back_to_its_reservation(desk):
    desk.reserve("j1", 100)
    desk.held("r1", 70, reservation="j1", prompt=used(10, 1))
    desk.pass_time(25)
    assert desk.expire() == 1
    assert desk.release("j1") == 90
    assert (desk.totals("t").settled, desk.totals("t").held) == (10, 0)
