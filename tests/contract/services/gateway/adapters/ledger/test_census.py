"""Which gateways there are, and in which life each has declared its holds."""

from __future__ import annotations


def test_a_gateway_is_told_of_the_others_and_what_they_have_declared(desk):
    one, two = f"{desk.tenant}-one", f"{desk.tenant}-two"
    desk.do(desk.ledger.beat(one, ""))
    life, others = desk.do(desk.ledger.beat(two, desk.life()))
    assert life == desk.life()
    assert others[one] == ""
    assert two not in others
    assert desk.do(desk.ledger.beat(one, life))[1][two] == life


def test_a_gateway_that_leaves_is_no_longer_told_of(desk):
    one, two = f"{desk.tenant}-one", f"{desk.tenant}-two"
    desk.do(desk.ledger.beat(one, ""))
    desk.do(desk.ledger.leave(one))
    assert one not in desk.do(desk.ledger.beat(two, ""))[1]
