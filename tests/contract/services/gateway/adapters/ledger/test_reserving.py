"""Reservations: set aside, drawn on, given back, released."""

from __future__ import annotations

from services.gateway.domain.ledger.types import Outcome, Refusal, ReservationState, Terms
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


def test_a_reservation_knows_the_terms_of_its_calls(desk):
    terms = Terms("1", "ada", 500_000)
    desk.reserve("j1", 100, TENANT_AND_KEY, terms=terms)
    desk.held("r1", 70, reservation="j1")
    assert desk.find("j1") == ReservationState(open=True, left=30, terms=terms)
    # What was promised stands, whatever a repeat says.
    desk.reserve("j1", 100, TENANT_AND_KEY, terms=Terms("2"))
    assert desk.find("j1").terms == terms
    desk.release("j1")
    assert desk.find("j1") == ReservationState(open=False, left=0, terms=terms)
    assert desk.find("none") is None


def test_a_reservation_that_comes_after_its_release_is_none(desk):
    assert desk.release("j1") == 0
    assert desk.reserve("j1", 60).outcome is Outcome.ENDED
    assert all(totals.held == 0 for totals in desk.dump().values())
    assert not desk.find("j1").open


def test_calls_of_a_reservation_are_in_no_live_calls_way(desk):
    desk.limit("k:1", rpm=1, tpm=100, par=1)
    desk.reserve("j1", 100)
    for number in range(3):
        desk.held(f"job{number}", 10, 100, reservation="j1")
    desk.extend("job0", 10, 50)
    desk.held("live", 10, 100)
    assert desk.totals("k:1").running == 1
    for number in range(3):
        desk.settle(f"job{number}", used(10, 50, 50))
    assert desk.totals("k:1").running == 1


def test_live_calls_are_in_no_reserved_calls_way_but_for_budgets_and_blocks(desk):
    desk.limit("k:1", rpm=1, tpm=100, par=1, b=[budget(20)])
    desk.reserve("j1", 100, ("t",))
    desk.held("live", 10, 100)
    desk.held("job0", 10, 100, reservation="j1")
    assert desk.refused("job1", 1, reservation="j1").kind == "held"
    desk.limit("k:1", off="blocked")
    assert desk.refused("job1", 0, reservation="j1").kind == "off"


def test_an_extension_draws_before_it_asks_the_limits(desk):
    desk.limit("t", b=[budget(100)])
    desk.reserve("j1", 80)
    desk.held("r1", 30, reservation="j1")
    desk.held("other", 20)
    assert desk.extend("r1", 40) is Outcome.OK
    assert (desk.find("j1").left, desk.totals("t").held) == (10, 100)
    # 10 are left there, and nothing elsewhere.
    assert desk.extend("r1", 11) is Outcome.NO
    assert desk.extend("r1", 10) is Outcome.OK
    desk.settle("other")
    assert desk.extend("r1", 20) is Outcome.OK
    desk.settle("r1", used(85))
    assert [event.cost for event in desk.events("r1")] == [80, 5]
    assert (desk.totals("t").settled, desk.totals("t").held, desk.find("j1").left) == (85, 0, 0)


def test_what_an_extension_drew_and_did_not_use_goes_back(desk):
    desk.reserve("j1", 80)
    desk.held("r1", 30, reservation="j1")
    desk.extend("r1", 40)
    desk.settle("r1", used(35))
    assert (desk.find("j1").left, desk.totals("t").held) == (45, 45)
    assert desk.release("j1") == 45


def test_an_extension_asks_scopes_that_the_reservation_does_not_cover(desk):
    desk.limit("k:1", b=[budget(40)])
    desk.reserve("j1", 100)
    desk.held("r1", 30, reservation="j1")
    assert desk.extend("r1", 11) is Outcome.NO
    assert desk.extend("r1", 10) is Outcome.OK
    assert desk.totals("k:1").held == 40


def test_what_came_back_meanwhile_is_drawn_by_a_call_that_had_none(desk):
    desk.limit("t", b=[budget(100)])
    desk.reserve("j1", 60)
    desk.held("r1", 60, reservation="j1")
    desk.held("r2", 40, reservation="j1")
    desk.settle("r1", used(20))
    assert desk.extend("r2", 40) is Outcome.OK
    assert desk.extend("r2", 1) is Outcome.NO
    desk.settle("r2", used(80))
    assert (desk.totals("t").settled, desk.totals("t").held) == (100, 0)


def test_an_extension_after_the_release_asks_the_limits(desk):
    desk.limit("t", b=[budget(100)])
    desk.reserve("j1", 60)
    desk.held("r1", 30, reservation="j1")
    desk.release("j1")
    assert desk.extend("r1", 70) is Outcome.OK
    assert desk.extend("r1", 1) is Outcome.NO


def test_what_cost_more_than_its_hold_is_paid_by_the_reservation(desk):
    desk.limit("t", b=[budget(100)])
    desk.reserve("j1", 100, TENANT_AND_KEY)
    desk.held("r1", 30, reservation="j1")
    desk.settle("r1", used(50))
    assert (desk.totals("t").settled, desk.totals("t").held, desk.find("j1").left) == (50, 50, 50)
    assert [(event.cost, event.platform) for event in desk.events("r1")] == [(30, 0), (20, 0)]


def test_what_an_expired_call_turns_out_to_have_cost_is_paid_by_the_reservation(desk):
    desk.limit("t", b=[budget(100)])
    desk.reserve("j1", 100)
    desk.held("r1", 70, reservation="j1", prompt=used(10, 1))
    desk.pass_time(25)
    desk.expire()
    assert desk.find("j1").left == 90
    desk.settle("r1", used(60))
    assert (desk.totals("t").settled, desk.totals("t").held, desk.find("j1").left) == (60, 40, 40)
    assert sum(event.platform for event in desk.events("r1")) == 0


def test_beyond_the_hold_a_scope_beside_the_reservation_is_not_passed(desk):
    desk.limit("k:1", b=[budget(40)])
    desk.reserve("j1", 100)
    desk.held("r1", 30, reservation="j1")
    desk.settle("r1", used(60))
    assert desk.totals("k:1").settled == 40
    assert sum(event.platform for event in desk.events("r1")) == 20


def test_a_call_that_is_declared_again_draws_what_it_had_drawn(desk):
    desk.limit("t", b=[budget(100)])
    desk.limit("k:1", par=1)
    desk.reserve("j1", 100)
    assert desk.redeclare("r1", 40, reservation="j1") is Outcome.OK
    assert (desk.find("j1").left, desk.totals("t").held) == (60, 100)
    assert desk.redeclare("r1", 70, reservation="j1") is Outcome.OK
    assert (desk.find("j1").left, desk.totals("t").held) == (30, 100)
    desk.held("live", 0)
    desk.settle("r1", used(50))
    assert (desk.find("j1").left, desk.totals("t").settled) == (50, 50)
