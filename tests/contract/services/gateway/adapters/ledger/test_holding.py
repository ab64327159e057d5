"""What is held, and every reason for which it is not."""

from __future__ import annotations

import pytest

from services.gateway.domain.ledger.types import Outcome, Rate, Refusal
from tests.contract.services.gateway.adapters.ledger.desk import MINUTE, SCOPES, START, budget, used

SESSION = (*SCOPES, "s:root")


def test_a_hold_counts_in_every_scope_of_the_call(desk):
    reply = desk.held("r1", 70, tokens=9, scopes=SESSION)
    assert (reply.amount, reply.tokens, reply.at_us) == (70, 9, desk.now_us())
    assert {scope: (totals.held, totals.running) for scope, totals in desk.dump().items()} == dict.fromkeys(
        SESSION, (70, 1)
    )


def test_a_refused_hold_leaves_nothing_anywhere(desk):
    desk.limit("k:1", rpm=5, b=[budget(100)])
    desk.held("r1", 60)
    before = desk.everything()
    assert desk.refused("r2", 41) == Refusal("held", "k:1", 100, -1, "total")
    assert desk.everything() == before
    assert desk.held("r3", 40).standing.requests.remaining == 3


@pytest.mark.parametrize("scope", SCOPES)
def test_the_least_budget_of_all_levels_refuses(desk, scope):
    for other in SCOPES:
        desk.limit(other, b=[budget(1000 if other != scope else 10)])
    assert desk.refused("r1", 11) == Refusal("budget", scope, 10, -1, "total")
    assert desk.held("r2", 10).standing.budget_remaining == 0


def test_what_is_held_may_come_back_and_what_is_settled_does_not(desk):
    desk.limit("k:1", b=[budget(100)])
    desk.held("r1", 50)
    desk.settle("r1", used(50))
    desk.held("r2", 40)
    assert desk.refused("r3", 20).kind == "held"
    assert desk.refused("r4", 60).kind == "budget"


def test_a_call_for_nothing_passes_a_budget_that_is_spent(desk):
    desk.limit("k:1", b=[budget(0)])
    assert desk.held("free", 0).standing.budget_remaining == 0
    assert desk.refused("paid", 1).kind == "budget"


def test_a_budget_of_exactly_so_many_calls_pays_for_them_and_no_more(desk):
    desk.limit("t", b=[budget(37 * 11)])
    outcomes = [desk.hold(f"r{number}", 11).outcome for number in range(40)]
    assert outcomes == [Outcome.OK] * 37 + [Outcome.NO] * 3


def test_the_largest_amounts_are_exact(desk):
    most = 2**53 - 1
    desk.limit("k:1", b=[budget(most)])
    desk.held("r1", most - 1)
    assert desk.refused("r2", 2).kind == "held"
    desk.settle("r1", used(most - 1))
    assert desk.held("r3", 1).standing.budget_remaining == 0
    assert desk.totals().settled == most - 1


def test_requests_are_paced_by_the_minute(desk):
    desk.limit("k:1", rpm=2)
    assert desk.held("r1", 0).standing.requests == Rate(2, 1, 30.0)
    assert desk.held("r2", 0).standing.requests == Rate(2, 0, 60.0)
    assert desk.refused("r3", 0) == Refusal("requests", "k:1", 2, 30_000_000)
    desk.pass_time(29.999999)
    assert desk.refused("r3", 0).wait_us == 1
    desk.pass_time(0.000001)
    desk.held("r3", 0)


def test_tokens_are_paced_by_the_minute(desk):
    desk.limit("u:ada", tpm=600)
    assert desk.held("r1", 0, tokens=500).standing.tokens == Rate(600, 100, 50.0)
    assert desk.refused("r2", 0, tokens=200) == Refusal("tokens", "u:ada", 600, 10_000_000)
    assert desk.refused("never", 0, tokens=601) == Refusal("tokens", "u:ada", 600, -1)
    desk.pass_time(10)
    desk.held("r2", 0, tokens=200)


def test_tokens_that_were_not_used_come_back_when_the_call_ends(desk):
    desk.limit("k:1", tpm=600)
    desk.held("r1", 0, tokens=600)
    desk.settle("r1", used(0, prompt=50, completion=50))
    assert desk.held("r2", 0, tokens=500).standing.tokens.remaining == 0


def test_tokens_that_have_drained_away_do_not_come_back_a_second_time(desk):
    desk.limit("k:1", tpm=600)
    desk.held("slow", 0, tokens=600)
    desk.pass_time(60)
    desk.held("r1", 0, tokens=600)
    desk.settle("slow", used(0, prompt=1, completion=1))
    assert desk.refused("r2", 0, tokens=600) == Refusal("tokens", "k:1", 600, 60_000_000)


def test_tokens_beyond_what_was_held_count_when_the_call_ends(desk):
    desk.limit("k:1", tpm=600)
    desk.held("r1", 0, tokens=100)
    desk.settle("r1", used(0, prompt=100, completion=200))
    assert desk.held("r2", 0, tokens=0).standing.tokens.remaining == 300


def test_calls_in_parallel_are_counted(desk):
    desk.limit("u:ada", par=2)
    desk.held("r1", 0)
    desk.held("r2", 0)
    assert desk.refused("r3", 0) == Refusal("parallel", "u:ada", 2, -1)
    desk.settle("r1")
    desk.held("r3", 0)


def test_a_request_has_a_budget_of_its_own(desk):
    desk.limit("t", req=100)
    desk.limit("k:1", req=80)
    assert desk.refused("r1", 81) == Refusal("request", "request", 80, -1)
    desk.held("r2", 80)
    assert desk.extend("r2", 1) is Outcome.NO


def test_a_session_tree_has_a_budget_that_the_scopes_above_it_set(desk):
    desk.limit("t", ses=100)
    desk.limit("k:1", ses=60)
    desk.held("r1", 50, scopes=SESSION)
    assert desk.refused("r2", 11, scopes=SESSION) == Refusal("held", "s:root", 60, -1, "total")
    desk.held("r3", 60, scopes=(*SCOPES, "s:other"))
    desk.held("r4", 500)


@pytest.mark.parametrize("why", ["blocked", "deleted"])
def test_a_scope_that_is_off_holds_nothing_and_extends_nothing(desk, why):
    desk.held("r1", 5)
    desk.limit("u:ada", off=why)
    assert desk.refused("r2", 1) == Refusal("off", "u:ada", why, -1)
    assert desk.extend("r1", 1) is Outcome.OFF
    assert desk.settle("r1", used(5)) is Outcome.OK


def test_a_scope_ends_when_it_expires(desk):
    desk.limit("k:1", exp=(START + 5) * 1_000_000)
    desk.held("r1", 1)
    desk.pass_time(5)
    assert desk.refused("r2", 1) == Refusal("off", "k:1", "expired", -1)
    assert desk.extend("r1", 1) is Outcome.OFF


def test_a_scope_that_nobody_has_made_holds_nothing(desk):
    assert desk.refused("r1", 0, scopes=("t", "k:none")) == Refusal("off", "k:none", "unknown", -1)


def test_an_earlier_life_of_the_store_is_told_so_and_changes_nothing(desk):
    before = desk.everything()
    assert desk.hold("r1", 1, life="0").outcome is Outcome.LIFE
    assert desk.extend("r1", 1, life="0") is Outcome.LIFE
    assert desk.redeclare("r1", 1, life="0") is Outcome.LIFE
    assert desk.reserve("j1", 1, life="0").outcome is Outcome.LIFE
    assert desk.everything() == before


def test_the_store_has_another_life_when_it_comes_back(desk):
    before = desk.life()
    desk.held("r1", 7)
    desk.restart()
    assert desk.life() != before
    assert desk.totals().held == 7


def test_what_refuses_first_is_told_first(desk):
    desk.limit("k:1", off="blocked", rpm=1, req=1, b=[budget(0, "1m", MINUTE)])
    assert desk.refused("r1", 5).kind == "off"
    desk.limit("k:1", rpm=1, req=1, b=[budget(0)])
    assert desk.refused("r1", 5).kind == "request"
    desk.held("r2", 0)
    assert desk.refused("r3", 1).kind == "requests"
