"""What a record may say: bounds at both ends, for every field."""

from __future__ import annotations

import math

import msgspec
import pytest

from libs.errors import PlatformError, Reason
from libs.money import NANODOLLARS_MAX
from services.gateway.domain.accounts.checks import (
    BUDGETS_MAX,
    MODELS_MAX,
    PARALLEL_MAX,
    RATE_MAX,
    RETENTION_DAYS_MAX,
    TAGS_MAX,
    check_record,
)
from services.gateway.domain.accounts.records import Budget, Key, Limits, Price, RecordPolicy, Tenant, User
from services.gateway.domain.fair_queue import PRIORITY_MAX

KEY = Key(tenant="acme", id="key_1", hmac="h")
PRICE = Price(model="small", input_nanodollars=0, cached_nanodollars=0, output_nanodollars=NANODOLLARS_MAX)


def refused(record):
    with pytest.raises(PlatformError) as caught:
        check_record(record)
    assert caught.value.reason is Reason.INVALID_REQUEST
    return caught.value.param


def limited(**limits):
    return Tenant(id="acme", limits=Limits(**limits))


@pytest.mark.parametrize(
    ("field", "lowest", "highest"),
    [
        ("requests_per_minute", 1, RATE_MAX),
        ("tokens_per_minute", 1, RATE_MAX),
        ("parallel_requests", 1, PARALLEL_MAX),
        ("session_budget_nanodollars", 0, NANODOLLARS_MAX),
        ("request_budget_nanodollars", 0, NANODOLLARS_MAX),
    ],
)
def test_limits_have_two_ends_and_are_whole_numbers(field, lowest, highest):
    for value in (None, lowest, highest):
        check_record(limited(**{field: value}))
    for value in (lowest - 1, highest + 1, -(2**63), 2**64, math.nan, math.inf, 1.5, "5", True):
        assert refused(limited(**{field: value})) == field.removesuffix("_nanodollars")


def test_budgets_have_two_ends():
    for amount in (0, NANODOLLARS_MAX):
        check_record(limited(budgets=(Budget(limit_nanodollars=amount, soft_nanodollars=amount, duration="30d"),)))
    for amount in (-1, NANODOLLARS_MAX + 1, math.nan, "1", True):
        assert refused(limited(budgets=(Budget(limit_nanodollars=amount),))) == "budget"
    for soft in (-1, 11, math.nan):
        assert refused(limited(budgets=(Budget(limit_nanodollars=10, soft_nanodollars=soft),))) == "soft budget"
    for anchor in (math.nan, math.inf, -1.0, 1e15):
        assert refused(limited(budgets=(Budget(limit_nanodollars=1, anchor_at=anchor),))) == "anchor_at"


@pytest.mark.parametrize(
    "duration", ["", "0s", "30", "30w", "-30d", "30 d", "9" * 9 + "d", "TOTAL", "1e3s", "٣d", "30d\n"]
)
def test_a_duration_is_written_in_one_way(duration):
    assert refused(limited(budgets=(Budget(limit_nanodollars=1, duration=duration),))) == "duration"


def test_a_duration_has_one_budget_and_a_scope_few():
    twice = (Budget(limit_nanodollars=1, duration="1d"), Budget(limit_nanodollars=2, duration="1d"))
    assert refused(limited(budgets=twice)) == "budgets"
    many = tuple(Budget(limit_nanodollars=1, duration=f"{n}d") for n in range(1, BUDGETS_MAX + 2))
    check_record(limited(budgets=many[:-1]))
    assert refused(limited(budgets=many)) == "budgets"


def test_models_are_names_and_not_too_many():
    check_record(limited(models=("small",) * MODELS_MAX))
    assert refused(limited(models=("small",) * (MODELS_MAX + 1))) == "models"
    assert refused(limited(models=("sm all",))) == "models"


@pytest.mark.parametrize(
    "tags",
    [
        {f"t{n}": "" for n in range(TAGS_MAX + 1)}, {"": "x"}, {"a=b": "c"}, {"a" * 65: "x"}, {"a": "x" * 257},
        {"a\n": "x"}, {"a": "x\r\ny"}, {"a": "\x00"}, {"a": "\u202eabc"}, {"a": "\ud800"}, {"a\u200b": "x"},
    ],
)  # fmt: skip
def test_tags_are_few_short_and_printable(tags):
    for record in (Tenant(id="acme", metadata=tags), User(tenant="acme", id="u", metadata=tags)):
        assert refused(record) == "metadata"


def test_tags_at_their_bounds_are_taken():
    check_record(Tenant(id="acme", metadata={f"{n}" + "a" * 62: "ü}{:" * 64 for n in range(10, 10 + TAGS_MAX)}))


@pytest.mark.parametrize("name", ["x" * 129, "a\nb", "\x1b[31m", "\u202e"])
def test_names_are_short_and_printable(name):
    assert refused(msgspec.structs.replace(KEY, name=name)) == "name"


def test_ids_are_checked_wherever_they_stand():
    assert refused(Tenant(id="a:b")) == "id"
    assert refused(User(tenant="a}", id="u")) == "tenant"
    assert refused(msgspec.structs.replace(KEY, user="u:v")) == "user"
    assert refused(msgspec.structs.replace(KEY, id="k\n")) == "id"


@pytest.mark.parametrize("at", [math.nan, math.inf, -1.0, 1.8e12])
def test_an_expiry_is_a_time_in_seconds(at):
    assert refused(msgspec.structs.replace(KEY, expires_at=at)) == "expires_at"


def test_tenants_have_bounds_of_their_own():
    check_record(Tenant(id="a", priority=-PRIORITY_MAX, reservations_max_nanodollars=0))
    assert refused(Tenant(id="a", priority=PRIORITY_MAX + 1)) == "priority"
    assert refused(Tenant(id="a", reservations_max_nanodollars=-1)) == "reservations_max"
    for days in (0, RETENTION_DAYS_MAX + 1):
        assert refused(Tenant(id="a", records=RecordPolicy(retention_days=days))) == "retention_days"


@pytest.mark.parametrize("field", ["input_nanodollars", "cached_nanodollars", "output_nanodollars"])
def test_prices_have_two_ends(field):
    check_record(PRICE)
    for amount in (-1, NANODOLLARS_MAX + 1, 0.5, math.nan, True):
        assert refused(msgspec.structs.replace(PRICE, **{field: amount})) == field


def test_a_price_is_that_of_a_model():
    assert refused(msgspec.structs.replace(PRICE, model="")) == "model"
