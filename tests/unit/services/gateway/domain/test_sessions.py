from __future__ import annotations

import pytest

from libs.errors import PlatformError, Reason
from services.gateway.domain.sessions import affinity_key, check_session_id, owner_digest
from services.gateway.domain.turns import ChatRequest, Principal, Role, SessionClaim, Turn


def test_owners_differ_by_tenant_key_and_user():
    owners = {
        owner_digest(Principal(tenant, key), user)
        for tenant in ("a", "b") for key in ("k1", "k2") for user in ("", "u", "v")
    }  # fmt: skip
    assert len(owners) == 12
    assert owner_digest(Principal("a", "bc"), "") != owner_digest(Principal("ab", "c"), "")
    assert len(owner_digest(Principal("a", "b"), "c")) == 64


def test_session_ids_have_a_limit():
    check_session_id("x" * 255)
    with pytest.raises(PlatformError) as caught:
        check_session_id("x" * 256)
    assert caught.value.reason is Reason.INVALID_REQUEST


def request(*turns, **claim):
    return ChatRequest("m", tuple(Turn(role, text) for role, text in turns), session=SessionClaim(**claim))


def test_affinity_is_of_system_prompt_and_first_words_only():
    opening = ((Role.SYSTEM, "be kind"), (Role.USER, "hello"))
    key = affinity_key(request(*opening), "t")
    assert affinity_key(request(*opening, (Role.ASSISTANT, "hi"), (Role.USER, "and?")), "t") == key
    assert affinity_key(request((Role.SYSTEM, "be kind"), (Role.USER, "bye")), "t") != key
    assert affinity_key(request((Role.USER, "hello")), "t") != key
    assert affinity_key(request(*opening), "u") != key
    assert affinity_key(request((Role.SYSTEM, "be kindhello")), "t") != key
    assert affinity_key(request(*opening, affinity_key="mine"), "t") == "mine"
