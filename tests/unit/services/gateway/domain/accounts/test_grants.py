"""Nobody hands out more than it has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.grants import Grant, tightest
from services.gateway.domain.accounts.records import Budget, Limits
from services.gateway.domain.accounts.specs import LimitsSpec, limited

CEILING = Limits(
    requests_per_minute=10,
    parallel_requests=2,
    budgets=(Budget(limit_nanodollars=100, duration="30d"), Budget(limit_nanodollars=7)),
    request_budget_nanodollars=5,
)
GRANT = Grant(CEILING, Limits(requests_per_minute=10, budgets=(CEILING.budgets[1],)), frozenset({"small", "big"}))


def refused(param, spec, before=None):
    with pytest.raises(PlatformError) as caught:
        GRANT.limits(spec, before)
    assert caught.value.reason is Reason.PERMISSION_DENIED
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("param", "spec"),
    [
        ("requests_per_minute", LimitsSpec(requests_per_minute=11)),
        ("parallel_requests", LimitsSpec(parallel_requests=3)),
        ("request_budget_nanodollars", LimitsSpec(request_budget_nanodollars=6)),
        ("budgets", LimitsSpec(budgets=(Budget(limit_nanodollars=101, duration="30d"),))),
        ("budgets", LimitsSpec(budgets=(Budget(limit_nanodollars=8),))),
        ("models", LimitsSpec(models=("small", "secret"))),
    ],
)
def test_more_than_the_makers_own_is_refused(param, spec):
    refused(param, spec)
    refused(param, spec, Limits())


def test_what_is_not_said_of_a_new_record_is_inherited():
    made = GRANT.limits(LimitsSpec())
    assert made.requests_per_minute == 10
    assert made.parallel_requests is None
    assert made.budgets == (Budget(limit_nanodollars=7),)
    assert made.models == ("big", "small")


def test_what_is_taken_away_is_inherited_too():
    changed = GRANT.limits(LimitsSpec(requests_per_minute=None, budgets=(), models=()), Limits(models=("small",)))
    assert changed.requests_per_minute == 10
    assert changed.budgets == (Budget(limit_nanodollars=7),)
    assert changed.models == ("big", "small")


def test_who_may_name_no_model_hands_none_out():
    with pytest.raises(PlatformError):
        Grant(models=frozenset()).limits(LimitsSpec())


def test_a_change_touches_only_what_is_said():
    assert GRANT.limits(LimitsSpec(parallel_requests=1), Limits()) == LimitsSpec(parallel_requests=1)


def test_what_somebody_above_has_set_is_kept():
    before = Limits(requests_per_minute=99, budgets=(Budget(limit_nanodollars=500, duration="30d"),), models=("x",))
    same = LimitsSpec(requests_per_minute=99, budgets=before.budgets, models=("x",))
    kept = GRANT.limits(same, before)
    assert (kept.requests_per_minute, kept.models) == (99, ("x",))
    assert before.budgets[0] in kept.budgets
    refused("requests_per_minute", LimitsSpec(requests_per_minute=98), before)


def test_budgets_one_by_one_follow_the_same_rule():
    GRANT.budget(Budget(limit_nanodollars=100, duration="30d"), Limits())
    with pytest.raises(PlatformError):
        GRANT.budget(Budget(limit_nanodollars=101, duration="30d"), Limits())
    GRANT.clear("30d")
    with pytest.raises(PlatformError):
        GRANT.clear("total")


@pytest.mark.parametrize(("wanted", "stored"), [(UNSET, 50.0), (None, 50.0), (50.0, 50.0), (10.0, 10.0)])
def test_no_key_outlives_its_maker(wanted, stored):
    assert Grant(expires_at=50.0).expiry(wanted, new=True) == stored


def test_a_later_expiry_is_refused():
    with pytest.raises(PlatformError):
        Grant(expires_at=50.0).expiry(51.0, new=True)
    assert Grant(expires_at=50.0).expiry(UNSET, new=False) is UNSET
    assert Grant().expiry(51.0, new=True) == 51.0


def test_admins_are_not_bounded():
    spec = LimitsSpec(requests_per_minute=1_000_000, models=("any",))
    made = Grant().limits(spec)
    assert (made.requests_per_minute, made.models) == (1_000_000, ("any",))


counts = st.none() | st.integers(1, 30)
some_limits = st.builds(
    Limits,
    requests_per_minute=counts,
    tokens_per_minute=counts,
    budgets=st.lists(
        st.builds(Budget, limit_nanodollars=st.integers(0, 30), duration=st.sampled_from(["1h", "30d", "total"])),
        max_size=3,
        unique_by=lambda budget: budget.duration,
    ).map(tuple),
)
some_specs = st.builds(
    LimitsSpec,
    requests_per_minute=counts,
    tokens_per_minute=counts | st.just(UNSET),
    budgets=some_limits.map(lambda limits: limits.budgets),
)


@given(st.lists(some_limits, min_size=1, max_size=3), some_specs)
def test_no_words_pass_the_makers_limits(own, spec):
    """A new key with all limits inherited is bounded by each of its maker's, whatever was asked for."""
    bound = tightest(own)
    try:
        made = limited(Limits(), Grant(bound, bound).limits(spec), 1.0)
    except PlatformError:
        return
    kept = {budget.duration: budget.limit_nanodollars for budget in made.budgets}
    for limits in own:
        for name in ("requests_per_minute", "tokens_per_minute"):
            most = getattr(limits, name)
            assert most is None or (getattr(made, name) or 10**9) <= most
        assert all(kept[budget.duration] <= budget.limit_nanodollars for budget in limits.budgets)
