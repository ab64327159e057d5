"""Budgets that begin anew: which window a call counts in."""

from __future__ import annotations

from services.gateway.domain.ledger.types import Outcome, Refusal
from tests.contract.services.gateway.adapters.ledger.desk import MINUTE, START, budget, used

HOUR = 3600


def minute(limit, **more):
    return budget(limit, "1m", MINUTE, **more)


def test_a_window_refuses_until_it_ends(desk):
    desk.limit("k:1", b=[minute(100)])
    desk.pass_time(20)
    desk.held("r1", 100)
    desk.settle("r1", used(100))
    assert desk.refused("r2", 1) == Refusal("budget", "k:1", 100, 40_000_000, "1m")
    desk.pass_time(40)
    assert desk.held("r2", 100).standing.budget_remaining == 0


def test_windows_follow_each_other_from_the_anchor(desk):
    desk.limit("k:1", b=[minute(100, anchor=START - 90)])
    desk.held("r1", 1)
    assert desk.totals().windows["1m"] == ((START - 30) * 1_000_000, 0, 1)
    desk.pass_time(30)
    desk.held("r2", 1)
    assert desk.totals().windows["1m"] == ((START + 30) * 1_000_000, 0, 1)


def test_a_call_counts_in_the_window_in_which_it_was_held(desk):
    desk.limit("k:1", b=[minute(100)])
    desk.held("r1", 80)
    desk.pass_time(MINUTE)
    desk.held("r2", 100)
    desk.settle("r1", used(80))
    desk.settle("r2", used(70))
    assert desk.window("1m") == (70, 0)
    assert [event.windows["k:1"]["1m"] for event in desk.events()] == [START * 1_000_000, (START + MINUTE) * 1_000_000]
    assert desk.totals().settled == 150


def test_an_extension_counts_where_its_call_was_held(desk):
    desk.limit("k:1", b=[minute(100)])
    desk.held("r1", 80)
    desk.pass_time(MINUTE)
    desk.held("r2", 100)
    assert desk.extend("r1", 20) is Outcome.OK
    assert desk.extend("r1", 1) is Outcome.NO


def test_a_call_that_held_nothing_counts_where_it_first_holds_something(desk):
    desk.limit("k:1", b=[minute(100)])
    desk.held("r1", 0)
    desk.pass_time(MINUTE)
    desk.held("r2", 60)
    assert desk.extend("r1", 41) is Outcome.NO
    assert desk.extend("r1", 40) is Outcome.OK
    assert desk.window("1m") == (0, 100)


def test_what_costs_more_than_its_hold_counts_in_the_present_window(desk):
    desk.limit("k:1", b=[minute(100)])
    desk.held("r1", 50)
    desk.pass_time(MINUTE)
    desk.settle("r1", used(70))
    assert desk.window("1m") == (20, 0)
    assert [event.cost for event in desk.events()] == [50, 20]


def test_a_late_settle_counts_in_the_present_window_and_gives_back_to_its_own(desk):
    desk.limit("k:1", b=[budget(100, "1h", HOUR), minute(100)])
    desk.held("r1", 50)
    desk.extend("r1", progress=used(30, 1, 1))
    desk.pass_time(MINUTE)
    desk.expire()
    desk.settle("r1", used(45, 1, 2))
    assert (desk.window("1h"), desk.window("1m")) == ((45, 0), (15, 0))


def test_a_window_never_gets_back_more_than_was_charged_in_it(desk):
    desk.limit("k:1", b=[budget(100, "1h", HOUR), minute(100)])
    desk.held("r1", 10)
    desk.extend("r1", progress=used(16, 1, 1))
    desk.pass_time(MINUTE)
    desk.expire()
    assert desk.window("1m") == (6, 0)
    desk.refund("r1")
    assert (desk.window("1h"), desk.window("1m")) == ((0, 0), (0, 0))


def test_a_soft_budget_is_told_in_each_window(desk):
    desk.limit("k:1", b=[minute(100, soft=10)])
    for number in range(2):
        desk.held(f"r{number}", 20)
        desk.settle(f"r{number}", used(20))
        desk.pass_time(MINUTE)
    told = [event.request_id for event in desk.events() if event.kind == "soft_budget"]
    assert told == [f"soft:k:1:1m:{START * 1_000_000}:10", f"soft:k:1:1m:{(START + MINUTE) * 1_000_000}:10"]


def test_a_budget_that_changes_keeps_what_was_spent(desk):
    desk.limit("k:1", b=[minute(100)])
    desk.held("r1", 80)
    desk.limit("k:1", b=[minute(50)])
    assert desk.extend("r1", 1) is Outcome.NO
    desk.settle("r1", used(60))
    assert (desk.window("1m"), desk.refused("r2", 1).kind) == ((60, 0), "budget")
    desk.limit("k:1", b=[minute(200)])
    assert desk.held("r2", 140).standing.budget_remaining == 0


def test_a_budget_that_comes_while_a_call_runs_does_not_count_it(desk):
    desk.held("r1", 80)
    desk.limit("k:1", b=[minute(50)])
    assert desk.extend("r1", 20) is Outcome.OK
    desk.settle("r1", used(100))
    assert desk.held("r2", 50).standing.budget_remaining == 0


def test_a_total_budget_that_comes_while_a_call_runs_counts_all(desk):
    desk.held("r1", 80)
    desk.limit("k:1", b=[budget(90)])
    assert desk.extend("r1", 20) is Outcome.NO
    assert desk.refused("r2", 11).kind == "held"


def test_an_anchor_that_moves_by_whole_windows_gives_no_money_back(desk):
    desk.limit("k:1", b=[minute(100)])
    desk.held("r1", 90)
    desk.settle("r1", used(90))
    desk.limit("k:1", b=[minute(100, anchor=START - 5 * MINUTE)])
    assert desk.refused("r2", 11).kind == "budget"
    assert desk.held("r3", 10).standing.budget_remaining == 0


def test_time_that_steps_back_neither_delays_nor_gives_money_back(desk):
    desk.limit("k:1", rpm=2, b=[minute(100)])
    desk.pass_time(2 * MINUTE)
    desk.held("r1", 90)
    desk.settle("r1", used(90))
    desk.pass_time(-MINUTE - 30)
    assert desk.refused("r2", 20).kind == "budget"
    assert desk.held("r3", 10).standing.requests.remaining == 0
    desk.pass_time(30)
    desk.held("r4", 0)


def test_what_a_lost_gateway_held_is_declared_in_the_window_of_its_time(desk):
    desk.limit("k:1", b=[minute(100)])
    desk.pass_time(MINUTE)
    desk.redeclare("r1", 70, ago=30)
    desk.held("r2", 100)
    desk.settle("r1", used(70))
    assert desk.window("1m") == (0, 100)
