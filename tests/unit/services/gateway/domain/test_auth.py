"""Keys are found by their HMAC under the pepper, quickly, and by nothing else."""

from __future__ import annotations

import pytest

from libs.errors import PlatformError, Reason
from services.gateway.domain import auth
from services.gateway.domain.auth import KeyRecord, KeyRing, bearer, format_key, hash_key
from services.gateway.domain.turns import Principal

PEPPER = b"p" * 32
KEY = format_key(b"s" * 24)


def ring(pepper: bytes = PEPPER, cache_max: int = 10) -> KeyRing:
    records = [KeyRecord(f"key_{i}", "acme", hash_key(PEPPER, f"{KEY}{i}"), "", "") for i in range(20)]
    return KeyRing(pepper, [*records, KeyRecord("key_x", "acme", hash_key(PEPPER, KEY), "", "")], cache_max)


def test_a_stored_key_gives_its_tenant_and_id_on_every_use():
    keys = ring()
    assert [keys.find(KEY) for _ in range(3)] == [Principal("acme", "key_x")] * 3


@pytest.mark.parametrize("presented", ["", KEY + "x", KEY[:-1], "sk-hr-", "ü" * 10, "k" * 10_000, "\ud800"])
def test_anything_else_is_refused_without_naming_it(presented):
    with pytest.raises(PlatformError) as caught:
        ring().find(presented)
    assert caught.value.reason is Reason.INVALID_API_KEY
    assert not presented or presented not in caught.value.message.replace("sk-hr-…", "")


def test_a_key_that_is_too_long_is_refused_before_it_is_hashed(monkeypatch):
    hashed = []
    monkeypatch.setattr(auth, "hash_key", lambda _, presented: hashed.append(presented) or "")
    for length in (auth.KEY_CHARS_MAX, auth.KEY_CHARS_MAX + 1):
        with pytest.raises(PlatformError):
            KeyRing(PEPPER, []).find("k" * length)
    assert [len(key) for key in hashed] == [auth.KEY_CHARS_MAX]


def test_the_pepper_counts():
    with pytest.raises(PlatformError):
        ring(pepper=b"q" * 32).find(KEY)


def test_the_cache_of_found_keys_is_bounded_and_unknown_keys_do_not_enter_it():
    keys = ring(cache_max=4)
    for i in range(20):
        keys.find(f"{KEY}{i}")
        assert len(keys._cache) <= 4
    before = len(keys._cache)
    for i in range(50):
        with pytest.raises(PlatformError):
            keys.find(f"unknown{i}")
    assert len(keys._cache) == before


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", ""),
        ("", ""),
        ("abc", ""),
    ],
)
def test_only_bearer_credentials_are_read(header, key):
    assert bearer(header) == key
