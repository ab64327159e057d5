"""Scores to tiers."""

import math

import pytest

from services.router.domain.policy.wish import ChoiceReason, Thresholds, wish
from services.router.domain.tiers import Tier, TierPool, Tiers
from tests.unit.services.router.domain.policy.world import LARGE, SMALL, TIERS

RULE = Thresholds(large=0.5, frontier=0.85, mode_shift=1.0)


def tier_of(score, mode="auto", tiers=TIERS, unsure_tier=Tier.LARGE):
    return wish(score, mode, tiers, RULE, unsure_tier).tier


@pytest.mark.parametrize(
    ("score", "tier"), [(0.0, "small"), (0.49, "small"), (0.5, "large"), (0.84, "large"), (0.85, "frontier")]
)
def test_thresholds_divide_the_scores(score, tier):
    assert tier_of(score) == tier


def test_cheap_asks_for_more_and_best_for_less_before_a_dearer_tier():
    assert [tier_of(0.6, mode) for mode in ("auto:cheap", "auto", "auto:best")] == ["small", "large", "large"]
    assert [tier_of(0.7, mode) for mode in ("auto:cheap", "auto", "auto:best")] == ["small", "large", "frontier"]
    assert [tier_of(0.3, mode) for mode in ("auto:cheap", "auto", "auto:best")] == ["small", "small", "large"]


def test_thresholds_of_zero_and_one_mean_always_and_never_in_every_mode():
    always = Thresholds(large=0.0, frontier=1.0, mode_shift=3.0)
    assert {always.of(mode) for mode in ("auto", "auto:cheap", "auto:best")} == {(0.0, 1.0)}


@pytest.mark.parametrize("score", [None, math.nan])
def test_where_nothing_speaks_policy_decides_and_says_so(score):
    found = wish(score, "auto", TIERS, RULE, Tier.LARGE)
    assert (found.tier, found.reason) == ("large", ChoiceReason.UNSURE)
    assert tier_of(score, unsure_tier=Tier.FRONTIER) == "frontier"


def test_only_an_operator_makes_unsure_small_and_never_for_the_best():
    assert tier_of(None, unsure_tier=Tier.SMALL) == "small"
    assert tier_of(None, "auto:best", unsure_tier=Tier.SMALL) == "large"


def test_a_tier_without_pools_is_stood_in_for_from_above_else_from_below():
    gap = Tiers({Tier.SMALL: [TierPool("s", SMALL)], Tier.FRONTIER: [TierPool("f", LARGE)]})
    assert tier_of(0.6, tiers=gap) == "frontier"
    low = Tiers({Tier.SMALL: [TierPool("s", SMALL)]})
    assert tier_of(0.99, tiers=low) == "small"
