from services.gateway.domain.ledger.totals import Difference, LogTotals, differences
from services.gateway.domain.ledger.types import OutboxEntry, ScopeTotals


def entry(cost, windows, kind="settled"):
    return OutboxEntry(id="1-0", kind=kind, request_id="r", sequence=1, at_us=1, cost=cost, windows=windows)


def totals(*entries):
    log = LogTotals()
    for each in entries:
        log.add(each)
    return log


def test_costs_count_in_every_scope_and_in_the_latest_window():
    log = totals(
        entry(5, {"t": {"30d": 100}, "k:a": {}}),
        entry(7, {"t": {"30d": 200}, "k:a": {}}),
        entry(1, {"t": {"30d": 200}}),
        entry(2, {"t": {"30d": 100}}, kind="expired"),  # late, into a window that is over
    )
    assert (log.scopes["t"].settled, log.scopes["t"].windows) == (15, {"30d": (200, 8)})
    assert log.scopes["k:a"].settled == 12
    assert (log.entries, log.cost) == (4, 15)


def test_books_that_agree_have_no_differences():
    log = totals(entry(5, {"t": {"30d": 100}, "s:x": {}}), entry(7, {"t": {"30d": 200, "total": 0}}))
    ledger = {"t": ScopeTotals(12, 3, 1, {"30d": (200, 7, 3)})}
    assert differences("acme", ledger, log) == []  # the session tree was idle, and is forgotten


def test_every_kind_of_disagreement_is_found():
    log = totals(entry(5, {"t": {"30d": 100}, "u:a": {}, "s:x": {}}))
    ledger = {
        "t": ScopeTotals(6, 0, 0, {"30d": (100, 4, 0)}),
        "k:ghost": ScopeTotals(1, 0, 0, {}),
        "s:x": ScopeTotals(4, 0, 0, {}),
    }
    assert differences("acme", ledger, log) == [
        Difference("acme", "k:ghost", "settled", 1, 0),
        Difference("acme", "s:x", "settled", 4, 5),
        Difference("acme", "t", "settled", 6, 5),
        Difference("acme", "t", "30d", 4, 5),
        Difference("acme", "u:a", "settled", 0, 5),
    ]


def test_a_window_that_began_without_a_charge_must_be_empty():
    log = totals(entry(5, {"t": {"30d": 100}}))
    assert differences("acme", {"t": ScopeTotals(5, 0, 0, {"30d": (200, 0, 0)})}, log) == []
    found = differences("acme", {"t": ScopeTotals(5, 0, 0, {"30d": (200, 5, 0)})}, log)
    assert found == [Difference("acme", "t", "30d", 5, 0)]


def test_a_window_that_the_ledger_does_not_know_of_is_a_difference():
    log = totals(entry(5, {"t": {"30d": 200}}))
    found = differences("acme", {"t": ScopeTotals(5, 0, 0, {"30d": (100, 0, 0)})}, log)
    assert found == [Difference("acme", "t", "30d", 0, 5)]
