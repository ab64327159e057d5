"""The campaign of killed gateways and stores, small: the platform as processes over one store, and an audit."""

import asyncio

import pytest

from loadtests.overspend.campaign import CALLS, Campaign
from loadtests.overspend.chaos import STORE, Blow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def spend(stack, seed, *blows, parallel=None):
    plan, limit = list(blows), parallel
    campaign = Campaign(stack, lambda _rng: plan, callers=50, parallel=lambda _seed: limit, spend_seconds=20.0)
    (found,) = asyncio.run(campaign.run([seed]))
    return found


def test_a_budget_for_37_calls_pays_for_37_calls_and_no_more_while_the_store_is_killed(stack):
    # While calls run, and a moment after their end, which is then told once more.
    found = spend(stack, 2, Blow(0.8, (STORE,)), Blow(4.0, (STORE,)))
    assert found.violations == []
    assert (found.outcomes["completed"], found.settled) == (CALLS, found.budget)


def test_what_a_killed_gateway_held_is_charged_what_was_sent_and_the_rest_is_spent_by_others(stack):
    found = spend(stack, 4, Blow(1.5, ("gateway-1",)))
    assert found.violations == []
    broken, received, charged, produced = found.broken
    assert broken
    assert 0 < received <= charged <= produced
    assert not found.out_of_time


def test_a_store_that_lost_its_last_seconds_is_told_of_them_before_anything_is_held(stack):
    """The second eight calls begin and end within what is lost."""
    found = spend(stack, 6, Blow(4.8, (STORE,), lost_seconds=2.9), parallel=8)
    assert found.violations == []
    assert (found.outcomes["completed"], found.settled) == (CALLS, found.budget)
