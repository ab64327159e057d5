"""Ids become parts of store keys: nothing that means something there gets into one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.ids import check_id, check_model, key_id
from services.gateway.domain.accounts.records import PLATFORM

BAD = [
    *("", "a b", "a{b", "a}b", "a:b", "a/b", "a\n", "\na", "a\x00b", "a\r\nb", "-a", ".a", "_a", "@a", "a" * 65),
    *("ä", "\u2167", "a\u200b", "a\u202eb", "\u0430", "\u0661", "a\\b", 'a"b', "a*", "a?", "[a]", "..", "%7b"),
]


@pytest.mark.parametrize("value", [*BAD, None, 7, b"a", ["a"], True])
def test_what_is_no_id_is_refused_and_its_field_named(value):
    with pytest.raises(PlatformError) as caught:
        check_id(value, "tenant")
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_REQUEST, "tenant")


@pytest.mark.parametrize("value", ["a", "A9", "ada@x.org", "a.b-c_d", "0" * 64])
def test_ordinary_ids_are_taken(value):
    assert check_id(value, "tenant") == value


@given(st.text(max_size=70))
def test_no_id_holds_what_store_keys_are_made_of(text):
    try:
        check_id(text, "id")
    except PlatformError:
        return
    assert text.isascii()
    assert text.isprintable()
    assert not set(text) & set("{}:/ \\*?[]'\"")


def test_nobody_can_be_the_platform():
    with pytest.raises(PlatformError):
        check_id(PLATFORM, "tenant")


@pytest.mark.parametrize("value", ["", "a b", "a\n", "a\x00", "m" * 129, "\u202em", None, 3])
def test_what_is_no_model_is_refused(value):
    with pytest.raises(PlatformError) as caught:
        check_model(value)
    assert caught.value.reason is Reason.INVALID_REQUEST


@pytest.mark.parametrize("value", ["small", "org/model-1", "qwen2.5:7b-instruct", "modèle"])
def test_names_of_models_may_hold_what_registries_use(value):
    assert check_model(value) == value


def test_new_key_ids_are_ids_and_hold_their_randomness():
    made = key_id(lambda count: b"\xab" * count)
    assert check_id(made, "id") == "key_" + "ab" * 12
