"""Whom a key stands for: the narrowest of key, user and tenant wins, and who is refused learns little."""

from __future__ import annotations

import math

import msgspec
import pytest

from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.identity import allowed_models, identify, lesser, merged_tags
from services.gateway.domain.accounts.records import Key, Limits, RecordPolicy, Role, Tenant, User
from services.gateway.domain.turns import Principal

TENANT = Tenant(id="acme", priority=3, metadata={"team": "tenant", "plan": "pro"})
USER = User(tenant="acme", id="ada", role=Role.TENANT_ADMIN, metadata={"team": "user"})
KEY = Key(tenant="acme", id="key_1", hmac="now", user="ada", role=Role.ADMIN, metadata={"feature": "search"})
changed = msgspec.structs.replace


def refused(*args, **more):
    with pytest.raises(PlatformError) as caught:
        identify(*args, **more)
    assert (caught.value.reason, caught.value.started) == (Reason.INVALID_API_KEY, False)
    return caught.value.message


def test_a_principal_has_what_its_records_say():
    found = identify("now", KEY, USER, TENANT, 5.0)
    tags = (("feature", "search"), ("plan", "pro"), ("team", "user"))
    assert found.principal == Principal("acme", "key_1", "ada", Role.TENANT_ADMIN, None, tags, 3)
    assert found.until == math.inf
    assert identify("now", changed(KEY, user=""), None, TENANT, 5.0).principal.role is Role.ADMIN


def test_stored_answers_are_taken_where_texts_may_be_kept():
    takes = changed(KEY, cached_answers=True)
    assert identify("now", takes, USER, TENANT, 5.0).principal.cached_answers
    assert not identify("now", KEY, USER, TENANT, 5.0).principal.cached_answers
    for policy in (RecordPolicy(enabled=False), RecordPolicy(store_prompts=False)):
        assert not identify("now", takes, USER, changed(TENANT, records=policy), 5.0).principal.cached_answers


def test_expiry_and_grace_end_at_their_second():
    key = changed(KEY, expires_at=10.0, previous_hmac="old", previous_until=7.0)
    assert identify("now", key, USER, TENANT, 9.9).until == 10.0
    assert identify("old", key, USER, TENANT, 6.9).until == 7.0
    refused("now", key, USER, TENANT, 10.0)
    refused("old", key, USER, TENANT, 7.0)
    assert identify("old", changed(key, previous_until=50.0), USER, TENANT, 1.0).until == 10.0


@pytest.mark.parametrize("hmac", ["", "older", "no"])
def test_only_the_present_and_the_previous_text_count(hmac):
    refused(hmac, KEY, USER, TENANT, 5.0)
    refused(hmac, changed(KEY, hmac="", previous_hmac=""), USER, TENANT, 5.0)


def test_unknown_deleted_expired_and_orphaned_keys_look_alike():
    messages = {
        refused("now", None, None, None, 5.0),
        refused("now", changed(KEY, expires_at=1.0), USER, TENANT, 5.0),
        refused("old", changed(KEY, previous_hmac="old", previous_until=1.0), USER, TENANT, 5.0),
        refused("now", KEY, None, TENANT, 5.0),
        refused("now", KEY, USER, None, 5.0),
    }
    assert len(messages) == 1


@pytest.mark.parametrize(
    ("records", "what"),
    [
        ((changed(KEY, blocked=True), USER, TENANT), "API key"),
        ((KEY, changed(USER, blocked=True), TENANT), "user"),
        ((KEY, USER, changed(TENANT, blocked=True)), "tenant"),
    ],
)
def test_who_is_blocked_is_told_so(records, what):
    assert f"The {what} is blocked" in refused("now", *records, 5.0)


def test_models_are_those_that_all_allow():
    a, ab, bc = (Limits(models=models) for models in (("a",), ("a", "b"), ("b", "c")))
    assert allowed_models(Limits(), Limits()) is None
    assert allowed_models(Limits(), ab) == {"a", "b"}
    assert allowed_models(ab, bc, Limits()) == {"b"}
    assert allowed_models(a, bc) == frozenset()


def test_of_two_tags_the_nearer_wins():
    assert merged_tags({"a": "1", "b": "1"}, {"b": "2"}, {"c": "3"}) == (("a", "1"), ("b", "2"), ("c", "3"))


def test_a_key_never_may_more_than_its_user():
    ranks = [Role.SERVICE, Role.MEMBER, Role.TENANT_ADMIN, Role.ADMIN]
    for low, role in enumerate(ranks):
        for other in ranks[low:]:
            assert lesser(role, other) is lesser(other, role) is role
