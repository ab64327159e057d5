"""Keys of jobs' steps and callers' own keys: neither reaches the other's answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.idempotency import keyed, keyed_work
from services.gateway.domain.turns import ChatRequest, Principal, Role, Turn

REQUEST = ChatRequest("m", (Turn(Role.USER, "hello"),))
ALICE = Principal("acme", "key-1")
keys = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=255)


@given(keys, keys, st.sampled_from(("chat", "grpc_chat")))
def test_no_callers_key_is_the_key_of_a_step(own, step, route):
    assert keyed(own, route, b"", REQUEST, ALICE).slot != keyed_work("acme", step, b"").slot


@given(keys, keys)
def test_steps_and_tenants_are_apart(one, other):
    first, second = keyed_work("acme", one, b"x"), keyed_work("acme", other, b"x")
    assert (first.slot == second.slot) == (one == other)
    assert first.slot != keyed_work("globex", one, b"x").slot


def test_another_body_is_another_request():
    first, second = keyed_work("acme", "job/0", b"x"), keyed_work("acme", "job/0", b"y")
    assert first.slot == second.slot
    assert first.fingerprint != second.fingerprint
