"""A spec changes what it says and nothing else, and cannot say what it must not."""

from __future__ import annotations

import msgspec
import pytest

from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.records import Budget, Key, Limits, RecordPolicy, Role, Tenant, User
from services.gateway.domain.accounts.specs import KeySpec, LimitsSpec, TenantSpec, UserSpec, applied

LIMITS = Limits(requests_per_minute=5, models=("small",), budgets=(Budget(limit_nanodollars=9, anchor_at=3.0),))
KEY = Key(tenant="acme", id="key_1", hmac="h", user="ada", name="n", limits=LIMITS, metadata={"a": "b"}, hint="1234")


def test_an_empty_spec_changes_nothing():
    assert applied(KEY, KeySpec(), 1.0) == KEY
    assert applied(KEY, KeySpec(limits=LimitsSpec()), 1.0) == KEY


def test_what_is_said_is_changed_and_what_is_not_stays():
    after = applied(KEY, KeySpec(name="x", limits=LimitsSpec(requests_per_minute=None, tokens_per_minute=7)), 1.0)
    assert after == msgspec.structs.replace(
        KEY,
        name="x",
        limits=Limits(tokens_per_minute=7, models=("small",), budgets=LIMITS.budgets),
    )


def test_every_field_of_every_spec_reaches_its_record():
    policy = RecordPolicy(enabled=False, retention_days=1)
    tenant = applied(
        Tenant(id="a"),
        TenantSpec(name="n", metadata={"x": "y"}, records=policy, reservations_max_nanodollars=4, priority=2),
        1.0,
    )
    assert tenant == Tenant(
        id="a", name="n", metadata={"x": "y"}, records=policy, reservations_max_nanodollars=4, priority=2
    )
    user = applied(User(tenant="a", id="u"), UserSpec(name="n", role=Role.TENANT_ADMIN, metadata={}), 1.0)
    assert user == User(tenant="a", id="u", name="n", role=Role.TENANT_ADMIN)
    assert applied(KEY, KeySpec(role=Role.MEMBER, expires_at=8.0), 1.0).expires_at == 8.0


def test_a_new_budget_begins_now_and_a_replaced_one_keeps_its_windows():
    spec = KeySpec(limits=LimitsSpec(budgets=(Budget(limit_nanodollars=1), Budget(limit_nanodollars=2, duration="1d"))))
    assert [budget.anchor_at for budget in applied(KEY, spec, 50.0).limits.budgets] == [3.0, 50.0]
    told = KeySpec(limits=LimitsSpec(budgets=(Budget(limit_nanodollars=2, duration="1d", anchor_at=40.0),)))
    assert applied(KEY, told, 50.0).limits.budgets[0].anchor_at == 40.0


@pytest.mark.parametrize("spec", [TenantSpec, UserSpec, KeySpec])
@pytest.mark.parametrize(
    "field",
    [
        "hmac",
        "tenant",
        "id",
        "blocked",
        "created_at",
        "previous_hmac",
        "previous_until",
        "hint",
        "user",
        "limit",
        "__class__",
    ],
)
def test_nothing_else_can_be_said(spec, field):
    """Neither by a caller's JSON nor by code: mass assignment has nothing to assign to."""
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({field: "x"}, spec)
    with pytest.raises(TypeError):
        spec(**{field: "x"})


@pytest.mark.parametrize(
    "spec",
    [
        KeySpec(name=7),
        KeySpec(role="root"),
        KeySpec(metadata={"a": 1}),
        KeySpec(metadata=[("a", "b")]),
        KeySpec(limits={"hmac": "x"}),
        KeySpec(limits=LimitsSpec(tokens_per_minute="7")),
        KeySpec(limits=LimitsSpec(tokens_per_minute=True)),
        KeySpec(limits=LimitsSpec(budgets=("1d",))),
        KeySpec(limits=LimitsSpec(models="small")),
        KeySpec(expires_at="tomorrow"),
        KeySpec(name=object()),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(spec):
    with pytest.raises(PlatformError) as caught:
        applied(KEY, spec, 1.0)
    assert caught.value.reason is Reason.INVALID_REQUEST
