"""How a cost is laid on the parts of a hold, and taken back from them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.ledger.hold_record import Part, lay, lay_back

AMOUNTS = st.lists(st.integers(0, 100), min_size=1, max_size=5)


@given(amounts=AMOUNTS, cost=st.integers(0, 600))
def test_a_cost_is_laid_on_the_parts_in_order_and_what_is_more_is_left(amounts, cost):
    charges, rest = lay([Part(amount, []) for amount in amounts], cost)
    assert sum(charges) + rest == cost
    assert all(0 <= charge <= amount for charge, amount in zip(charges, amounts, strict=True))
    assert rest == max(0, cost - sum(amounts))


@given(charged=AMOUNTS, less=st.integers(0, 600))
def test_no_part_gets_back_more_than_it_was_charged_and_the_last_is_first(charged, less):
    back = lay_back([Part(0, [], charged=charge) for charge in charged], less)
    assert sum(back) == -min(less, sum(charged))
    assert all(-charge <= given <= 0 for charge, given in zip(charged, back, strict=True))
    kept = [charge + given for charge, given in zip(charged, back, strict=True)]
    touched = [at for at, given in enumerate(back) if given < 0]
    assert all(kept[at] == 0 for at in touched[1:])
