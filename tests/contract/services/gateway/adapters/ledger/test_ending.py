"""What a call is charged when it ends, and what becomes of the rest of its hold."""

from __future__ import annotations

import pytest

from services.gateway.domain.ledger.types import End, Outcome
from tests.contract.services.gateway.adapters.ledger.desk import META, SCOPES, budget, used


def test_a_settled_call_is_charged_what_it_used_and_the_rest_is_free(desk):
    desk.limit("t", b=[budget(100)])
    desk.held("r1", 100)
    assert desk.settle("r1", used(30, 12, 7), platform=4) is Outcome.OK
    for scope in SCOPES:
        assert (desk.totals(scope).settled, desk.totals(scope).held, desk.totals(scope).running) == (30, 0, 0)
    assert desk.held("r2", 70).standing.budget_remaining == 0


def test_the_end_of_a_call_is_told_once_with_whose_it_was(desk):
    desk.held("r1", 100)
    desk.pass_time(2)
    desk.settle("r1", used(30, 12, 7), platform=4)
    (event,) = desk.events()
    assert (event.kind, event.request_id, event.sequence, event.at_us) == ("settled", "r1", 1, desk.now_us())
    assert (event.cost, event.platform, event.prompt_tokens, event.completion_tokens) == (30, 4, 12, 7)
    assert (event.meta, event.windows) == (META, {scope: {} for scope in SCOPES})


def test_a_refunded_call_costs_nothing_whatever_it_said_it_used(desk):
    desk.held("r1", 100)
    desk.extend("r1", progress=used(50, 9, 9))
    assert desk.refund("r1", platform=6) is Outcome.OK
    assert (desk.totals().settled, desk.totals().held) == (0, 0)
    (event,) = desk.events()
    assert (event.kind, event.cost, event.platform, event.prompt_tokens) == ("refunded", 0, 6, 0)


def test_a_refund_that_overtakes_its_hold_keeps_it_from_being_held(desk):
    assert desk.refund("r1") is Outcome.OK
    late = desk.hold("r1", 100)
    assert (late.outcome, late.ended) == (Outcome.ENDED, End.REFUNDED)
    assert desk.settle("r1", used(5)) is Outcome.OK
    assert (desk.dump(), desk.events()) == ({}, [])


def test_a_call_that_nobody_held_cannot_be_settled(desk):
    assert desk.settle("r1", used(5)) is Outcome.UNKNOWN
    assert (desk.dump(), desk.events()) == ({}, [])


def test_what_costs_more_than_its_hold_is_charged_as_far_as_there_is_room(desk):
    desk.limit("u:ada", b=[budget(120)])
    desk.held("r1", 100)
    desk.settle("r1", used(150))
    assert desk.totals().settled == 120
    first, more = desk.events()
    assert (first.kind, first.sequence, first.cost, first.platform) == ("settled", 1, 100, 30)
    assert (more.kind, more.sequence, more.cost, more.platform) == ("settled", 2, 20, 0)


def test_without_a_budget_all_of_it_is_charged(desk):
    desk.held("r1", 100)
    desk.settle("r1", used(150))
    assert desk.totals().settled == 150


def test_room_that_others_hold_is_no_room(desk):
    desk.limit("t", b=[budget(120)])
    desk.held("r1", 100)
    desk.held("r2", 20)
    desk.settle("r1", used(150))
    assert (desk.totals().settled, desk.totals().held) == (100, 20)
    assert desk.events()[0].platform == 50


def test_a_limit_that_sank_is_not_passed_further(desk):
    desk.limit("t", b=[budget(120)])
    desk.held("r1", 100)
    desk.limit("t", b=[budget(10)])
    desk.settle("r1", used(110))
    assert (desk.totals().settled, desk.events()[0].platform) == (100, 10)


def test_an_extension_holds_more_and_renews_the_lease(desk):
    desk.limit("k:1", b=[budget(100)])
    desk.held("r1", 60, tokens=3)
    desk.pass_time(10)
    assert desk.extend("r1", 40, 5) is Outcome.OK
    desk.pass_time(10)
    assert desk.overdue() == []
    again = desk.hold("r1", 60, tokens=3)
    assert (again.outcome, again.amount, again.tokens) == (Outcome.OK, 100, 8)
    assert desk.totals().held == 100


def test_an_extension_without_room_is_refused_and_renews_the_lease_all_the_same(desk):
    desk.limit("k:1", b=[budget(99)])
    desk.held("r1", 60)
    desk.pass_time(10)
    assert desk.extend("r1", 40, progress=used(7, 1, 3)) is Outcome.NO
    desk.pass_time(10)
    assert desk.overdue() == []
    desk.pass_time(5)
    assert desk.overdue()[0].progress == used(7, 1, 3)
    assert desk.totals().held == 60


def test_a_running_answer_is_not_cut_for_the_minute_but_those_behind_it_wait(desk):
    desk.limit("k:1", tpm=600)
    desk.held("r1", 0, tokens=600)
    assert desk.extend("r1", 1, 60) is Outcome.OK
    assert desk.refused("r2", 0, tokens=60).wait_us == 12_000_000


def test_a_call_that_has_ended_or_was_never_held_is_not_extended(desk):
    desk.held("r1", 10)
    desk.settle("r1", used(4))
    before = desk.everything()
    assert desk.extend("r1", 5) is Outcome.ENDED
    assert desk.extend("r2", 5) is Outcome.UNKNOWN
    assert desk.everything() == before


def test_a_soft_budget_is_told_when_it_is_crossed_and_refuses_nothing(desk):
    desk.limit("k:1", b=[budget(100, soft=50)])
    for number, kinds in ((1, ["settled"]), (2, ["soft_budget", "settled"]), (3, ["settled"])):
        desk.held(f"r{number}", 30)
        told = len(desk.events())
        desk.settle(f"r{number}", used(30))
        assert [event.kind for event in desk.events()[told:]] == kinds
    soft = next(event for event in desk.events() if event.kind == "soft_budget")
    assert (soft.request_id, soft.cost, soft.windows) == ("soft:k:1:total:0:50", 0, {"k:1": {"total": 0}})


def test_a_soft_budget_that_is_changed_is_told_anew(desk):
    desk.limit("k:1", b=[budget(100, soft=10)])
    desk.held("r1", 30)
    desk.settle("r1", used(30))
    desk.limit("k:1", b=[budget(100, soft=20)])
    desk.held("r2", 30)
    desk.settle("r2", used(1))
    assert [event.request_id for event in desk.events() if event.kind == "soft_budget"] == [
        "soft:k:1:total:0:10",
        "soft:k:1:total:0:20",
    ]


@pytest.mark.parametrize("first", ["settle", "refund"])
@pytest.mark.parametrize("second", ["settle", "refund"])
def test_an_end_that_comes_again_changes_nothing(desk, first, second):
    ends = {"settle": lambda: desk.settle("r1", used(20), platform=3), "refund": lambda: desk.refund("r1", platform=3)}
    desk.held("r1", 50)
    ends[first]()
    before = desk.everything()
    assert ends[second]() is Outcome.OK
    assert desk.everything() == before


def test_a_hold_that_comes_again_changes_nothing(desk):
    desk.limit("k:1", rpm=9, tpm=900, par=9, b=[budget(100)])
    desk.held("r1", 60, tokens=5)
    before = desk.everything()
    assert desk.held("r1", 60, tokens=5).standing.requests.remaining == 8
    assert desk.everything() == before
    desk.settle("r1", used(60))
    ended = desk.hold("r1", 60, tokens=5)
    assert (ended.outcome, ended.ended) == (Outcome.ENDED, End.SETTLED)
