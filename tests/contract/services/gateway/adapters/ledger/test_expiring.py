"""Calls whose gateway has gone, and what happens when one turns up after all."""

from __future__ import annotations

from services.gateway.domain.ledger.types import End, Outcome
from tests.contract.services.gateway.adapters.ledger.desk import META, budget, used

LEASE, GRACE = 15, 10


def expired(desk, amount=100, progress=None):
    """A call that was held, said what it had used, and expired."""
    desk.held("r1", amount, tokens=50)
    desk.extend("r1", progress=progress or used(40, 10, 20))
    desk.pass_time(LEASE + GRACE)
    assert desk.expire() == 1


def test_a_hold_is_overdue_when_its_lease_is_over(desk):
    desk.held("r1", 10, prompt=used(3, 1))
    desk.pass_time(LEASE - 0.000001)
    assert desk.overdue() == []
    desk.pass_time(0.000001)
    (due,) = desk.overdue()
    assert (due.request_id, due.lease_us, due.meta, due.progress) == ("r1", desk.now_us(), META, used(3, 1))
    assert due.age_us == LEASE * 1_000_000


def test_it_expires_after_the_grace_at_its_last_progress_never_at_zero(desk):
    desk.held("r1", 100, prompt=used(3, 1))
    desk.held("r2", 100, prompt=used(3, 1))
    desk.extend("r2", progress=used(40, 1, 20))
    desk.pass_time(LEASE + GRACE - 0.000001)
    assert desk.expire() == 0
    desk.pass_time(0.000001)
    assert desk.expire() == 2
    assert [(event.kind, event.cost) for event in desk.events()] == [("expired", 3), ("expired", 40)]
    assert (desk.totals().settled, desk.totals().held, desk.totals().running) == (43, 0, 0)


def test_reports_that_come_out_of_order_do_not_take_progress_back(desk):
    desk.held("r1", 100)
    desk.extend("r1", progress=used(40, 1, 20))
    desk.extend("r1", progress=used(30, 1, 15))
    desk.pass_time(LEASE)
    assert desk.overdue()[0].progress == used(40, 1, 20)


def test_the_longest_overdue_come_first_and_no_more_than_asked_for(desk):
    for name in ("r3", "r1", "r2"):
        desk.held(name, 1)
        desk.pass_time(1)
    desk.pass_time(LEASE + GRACE)
    assert [due.request_id for due in desk.overdue(limit=2)] == ["r3", "r1"]
    assert desk.expire(limit=2) == 2
    assert [due.request_id for due in desk.overdue()] == ["r2"]


def test_an_overdue_hold_ends_at_what_the_workers_say(desk):
    desk.held("r1", 100, prompt=used(3, 1))
    desk.pass_time(LEASE)
    (due,) = desk.overdue()
    assert desk.end(due, progress=used(60, 1, 40))
    assert not desk.end(due, progress=used(60, 1, 40))
    (event,) = desk.events()
    assert (event.kind, event.cost, event.completion_tokens) == ("expired", 60, 40)


def test_what_never_reached_a_worker_is_refunded_for_good(desk):
    desk.held("r1", 100, prompt=used(3, 1))
    desk.pass_time(LEASE)
    assert desk.end(desk.overdue()[0], End.REFUNDED)
    assert desk.settle("r1", used(50)) is Outcome.OK
    assert (desk.totals().settled, [event.kind for event in desk.events()]) == (0, ["refunded"])


def test_a_hold_that_was_renewed_meanwhile_is_not_ended(desk):
    desk.held("r1", 100)
    desk.pass_time(LEASE)
    (due,) = desk.overdue()
    desk.extend("r1")
    assert not desk.end(due)
    desk.pass_time(LEASE)
    assert not desk.end(due)
    assert desk.totals().running == 1


def test_a_refused_call_ends_the_overdue_holds_that_are_in_its_way(desk):
    desk.limit("k:1", b=[budget(100)])
    desk.held("lost", 100)
    desk.pass_time(LEASE + GRACE)
    assert desk.refused("r1", 100, expire=False).kind == "held"
    desk.held("r1", 100, expire=True)
    assert [event.kind for event in desk.events("lost")] == ["expired"]


def test_a_refused_call_ends_overdue_holds_that_take_its_place(desk):
    desk.limit("k:1", par=1)
    desk.held("lost", 1)
    desk.pass_time(LEASE + GRACE)
    desk.held("r1", 1)
    assert desk.totals().running == 1


def test_a_late_settle_is_charged_what_it_used_more(desk):
    expired(desk)
    assert desk.settle("r1", used(90, 10, 60), platform=2) is Outcome.OK
    assert desk.totals().settled == 90
    first, corrected, more = desk.events()
    assert (first.kind, first.sequence, first.cost, first.completion_tokens) == ("expired", 1, 40, 20)
    assert (corrected.kind, corrected.sequence, corrected.cost) == ("corrected", 2, 0)
    assert (corrected.platform, corrected.prompt_tokens, corrected.completion_tokens) == (2, 0, 40)
    assert (more.kind, more.sequence, more.cost, more.completion_tokens) == ("corrected", 3, 50, 0)


def test_a_late_settle_gets_back_what_it_used_less(desk):
    expired(desk)
    desk.settle("r1", used(25, 10, 12))
    assert desk.totals().settled == 25
    corrected = desk.events()[-1]
    assert (corrected.kind, corrected.cost, corrected.completion_tokens) == ("corrected", -15, -8)


def test_a_late_refund_gets_back_all_of_it(desk):
    expired(desk)
    desk.refund("r1")
    assert (desk.totals().settled, sum(event.cost for event in desk.events())) == (0, 0)


def test_a_late_settle_without_room_is_borne_by_the_operator(desk):
    desk.limit("k:1", b=[budget(100)])
    expired(desk)
    desk.held("r2", 55)
    desk.settle("r1", used(90, 10, 60))
    assert (desk.totals().settled, desk.totals().held) == (45, 55)
    assert sum(event.platform for event in desk.events("r1")) == 45


def test_what_the_operator_bore_is_charged_when_there_is_room_later(desk):
    desk.limit("k:1", b=[budget(60)])
    desk.held("r1", 10)
    desk.held("r2", 50)
    desk.extend("r1", progress=used(30, 1, 5))
    desk.pass_time(LEASE + GRACE)
    desk.extend("r2")
    assert desk.expire() == 1
    assert (desk.events()[0].cost, desk.events()[0].platform) == (10, 20)
    desk.settle("r2")
    desk.settle("r1", used(30, 1, 5))
    told = desk.events("r1")
    assert (sum(event.cost for event in told), sum(event.platform for event in told)) == (30, 0)


def test_a_late_settle_that_comes_again_changes_nothing(desk):
    expired(desk)
    desk.settle("r1", used(90, 10, 60))
    before = desk.everything()
    assert desk.settle("r1", used(95, 10, 60)) is Outcome.OK
    assert desk.refund("r1") is Outcome.OK
    assert desk.everything() == before


def test_a_late_settle_crosses_a_soft_budget(desk):
    desk.limit("k:1", b=[budget(1000, soft=50)])
    expired(desk)
    desk.settle("r1", used(60))
    assert "soft_budget" in [event.kind for event in desk.events()]


def test_a_hold_that_an_earlier_life_granted_is_taken_up_unchecked(desk):
    desk.limit("k:1", par=0, b=[budget(10)])
    assert desk.redeclare("r1", 100, tokens=4, progress=used(7, 1, 2)) is Outcome.OK
    assert (desk.totals().held, desk.totals().running) == (100, 1)
    desk.settle("r1", used(100))
    assert desk.totals().settled == 100


def test_declared_again_it_grows_to_what_it_had(desk):
    desk.held("r1", 60)
    desk.pass_time(LEASE)
    assert desk.redeclare("r1", 100, progress=used(9, 1, 4)) is Outcome.OK
    assert (desk.totals().held, desk.overdue()) == (100, [])
    before = desk.everything()
    assert desk.redeclare("r1", 100, progress=used(9, 1, 4)) is Outcome.OK
    assert desk.everything() == before


def test_a_hold_that_has_ended_is_not_taken_up_again(desk):
    desk.held("r1", 60)
    desk.settle("r1", used(60))
    before = desk.everything()
    assert desk.redeclare("r1", 60) is Outcome.ENDED
    assert desk.everything() == before
