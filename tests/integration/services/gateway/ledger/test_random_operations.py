"""20,000 random operations: every reply, and all that the store keeps after each of them, is what the model says.

The long form is `python -m loadtests.ledger_ops`.
"""

from __future__ import annotations

import pytest

from libs.valkey import FunctionLibrary
from loadtests.ledger.books_check import ViolationError
from loadtests.ledger.campaign import Plan, run
from loadtests.ledger.timed import TIMED

# Each works, and each is wrong in one rule. The campaign must see all of them.
CHECKED = "budget_room(scope, budget, now) < needed"
EXPIRED = "finish(prefix, id, rec, 'expired', rec.pr, 0, now)"
REPEATED = "  return reply('ok', rec.c)\n"
MISTAKES = {
    "a hold passes a limit by one": (CHECKED, "budget_room(scope, budget, now) + 1 < needed"),
    "a refusal that is false": (CHECKED, "budget_room(scope, budget, now) <= needed"),
    "a settle that comes again charges again": (
        REPEATED,
        f"  if rec.parts and state == 'settled' then finish(prefix, id, rec, state, progress, 0, now) end\n{REPEATED}",
    ),
    "an expired hold costs nothing": (EXPIRED, "finish(prefix, id, rec, 'expired', NO_PROGRESS, 0, now)"),
    "a window forgets its holds": ("    if window.h > 0 then\n      aside", "    if false then\n      aside"),
    "tokens are not counted": ("      fill(scope, 'tpm', tokens, now)\n", ""),
    "tokens that have drained are taken back": ("math.min(math.min(tokens, rec.gn) * MINUTE, left)", "tokens * MINUTE"),
    "what was drawn is not taken": (".l = drawn.reservation.l - amount", ".l = drawn.reservation.l"),
}


@pytest.mark.slow
def test_store_and_model_agree_on_12000_operations_one_by_one():
    tally = run(Plan(12_000, seed=1, batch=1, crashes_per_episode=0))
    assert sum(tally.operations.values()) >= 12_000
    assert tally.outcomes["hold ok"] > 1_000
    assert {"hold no budget", "hold no held", "hold no parallel", "hold no tokens", "hold no requests"} <= set(
        tally.outcomes
    )


@pytest.mark.slow
def test_store_and_model_agree_on_8000_operations_with_the_store_killed_among_them():
    tally = run(Plan(8_000, seed=2, batch=10, crashes_per_episode=3))
    assert sum(tally.operations.values()) >= 8_000
    assert tally.crashes > 20
    assert tally.torn > 5


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_store_that_breaks_a_rule_is_found_out(mistake):
    old, new = MISTAKES[mistake]
    assert TIMED.source.count(old) == 1
    wrong = FunctionLibrary("ledger", TIMED.source.replace(old, new))
    with pytest.raises(ViolationError):
        run(Plan(20_000, seed=3, batch=10, crashes_per_episode=0), wrong)
