"""Stay or move."""

from dataclasses import replace

import pytest

from services.router.domain.policy.stay import settle
from tests.unit.services.router.domain.policy.world import NOTHING, RULE, TIERS, on, step, unsure, wants


def settled(route, wish, turn, rule=RULE):
    return settle(route, wish, turn, TIERS, rule)


def test_a_new_session_gets_what_its_first_turn_wants():
    found = settled(NOTHING, wants("small"), step(7))
    assert (found.tier, found.reason, found.previous, found.switch_cost) == ("small", "classified", None, 0)
    assert found.route == on("small", turn=7)


def test_up_at_once_when_the_user_speaks_and_the_context_is_priced():
    found = settled(on("small", turn=1), wants("frontier"), step(2, context=1000))
    assert (found.tier, found.reason, found.previous) == ("frontier", "classified", "small")
    assert found.switch_cost == 3_000_000  # 1,000 tokens at 3 dollars a million
    assert "up from small" in found.why


def test_down_only_after_enough_user_turns_in_a_row():
    first = settled(on("large", turn=1), wants("small"), step(2, turns=2))
    assert (first.tier, first.reason, first.route.lower_turns) == ("large", "sticky", 1)
    second = settled(first.route, wants("small"), step(3, turns=3))
    assert (second.tier, second.previous, second.switch_cost) == ("small", "large", 100_000)
    assert second.route == on("small", turn=3)
    between = settled(first.route, wants("large"), step(3, turns=3))
    assert (between.tier, between.route.lower_turns) == ("large", 0)


def test_a_long_context_needs_more_reason_to_go_down():
    """At 200,000 tokens re-reading costs $0.02; staying costs $0.0106 a turn, on small it is $0.00212."""
    ready = on("large", turn=1, lower_turns=1)
    assert settled(ready, wants("small"), step(2, turns=2, context=2_000)).tier == "small"
    long = settled(ready, wants("small"), step(2, turns=2, context=200_000))
    assert (long.tier, long.reason, long.switch_cost) == ("large", "sticky", 20_000_000)
    assert "$0.02 of it to re-read 200000 tokens" in long.why
    patient = settled(ready, wants("small"), step(2, turns=8, context=200_000))
    assert patient.tier == "small"


def test_the_same_user_turn_again_counts_once():
    first = settled(on("large", turn=1), wants("small"), step(2, turns=2))
    again = settled(first.route, wants("small"), step(2, turns=2))
    assert (again.tier, again.route) == ("large", first.route)


def test_nothing_to_go_by_moves_nobody():
    route = on("small", turn=1)
    up = settled(route, unsure("large"), step(2))
    assert (up.tier, up.reason) == ("small", "sticky")
    down = settled(on("frontier", turn=1, lower_turns=1), unsure("large"), step(2))
    assert (down.tier, down.route.lower_turns) == ("frontier", 1)


def test_inside_a_tool_loop_the_tier_stays():
    for wish in (None, wants("small"), wants("frontier")):
        found = settled(on("large", turn=1, lower_turns=5), wish, step(1, depth=2))
        assert (found.tier, found.reason) == ("large", "sticky")


@pytest.mark.parametrize("trouble", [{"repeats": 3}, {"errors": 3}])
def test_a_stalled_agent_goes_one_tier_up_at_once_and_comes_back_when_the_user_speaks(trouble):
    lifted = settled(on("small", turn=1), None, step(1, depth=4, **trouble))
    assert (lifted.tier, lifted.reason, lifted.previous, lifted.switch_cost) == ("large", "stalled", "small", 500_000)
    still = settled(lifted.route, None, step(1, depth=5, **trouble))
    assert (still.tier, still.reason) == ("large", "sticky")
    back = settled(still.route, wants("small"), step(2, turns=2))
    assert (back.tier, back.previous, back.route.home) == ("small", "large", None)


def test_below_the_limits_nobody_is_lifted():
    assert settled(on("small", turn=1), None, step(1, depth=4, repeats=2, errors=2)).tier == "small"


def test_an_agent_that_stalls_on_after_six_more_results_goes_up_again():
    lifted = settled(on("small", turn=1), None, step(1, depth=3, repeats=3)).route
    assert settled(lifted, None, step(1, depth=8, repeats=6)).tier == "large"
    second = settled(lifted, None, step(1, depth=9, repeats=6))
    assert (second.tier, second.route.home) == ("frontier", "small")
    top = settled(second.route, None, step(1, depth=99, repeats=6))
    assert (top.tier, top.reason) == ("frontier", "sticky")
    assert "no higher tier" in top.why


def test_a_lift_hides_neither_a_hard_question_nor_a_wish_for_less():
    lifted = settled(on("large", turn=1), None, step(1, depth=3, repeats=3)).route
    hard = settled(lifted, wants("frontier"), step(2, turns=2))
    assert (hard.tier, hard.route.home) == ("frontier", None)
    easy = settled(lifted, wants("small"), step(2, turns=2))
    assert (easy.tier, easy.route.lower_turns) == ("large", 1)


def test_a_repeat_of_the_turn_that_was_lifted_does_not_bring_it_back():
    lifted = settled(on("small", turn=1), None, step(1, depth=3, repeats=3)).route
    assert settled(lifted, wants("small"), step(1)).tier == "large"


def test_what_the_user_says_wipes_the_stall_out():
    assert settled(on("small", turn=1), wants("small"), step(2, repeats=6, errors=6)).tier == "small"


def test_a_session_first_seen_inside_a_stalled_loop_is_lifted_too():
    found = settled(NOTHING, wants("small"), step(1, depth=6, repeats=4))
    assert (found.tier, found.reason, found.route.home) == ("large", "stalled", "small")


def test_variants_outlive_every_move():
    route = replace(on("small", turn=1), variants=(("s1", "canary"),))
    for wish, turn in [(wants("large"), step(2)), (None, step(1, depth=3, repeats=3)), (wants("small"), step(2))]:
        assert settled(route, wish, turn).route.variants == (("s1", "canary"),)


def test_a_turn_without_tier_and_wish_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="needs a wish"):
        settle(NOTHING, None, step(), TIERS, RULE)
