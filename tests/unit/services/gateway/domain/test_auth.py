"""What a key looks like, and what is stored of it."""

from __future__ import annotations

import pytest

from libs.errors import Reason
from services.gateway.domain.auth import KEY_CHARS_MAX, bearer, format_key, hash_key, hint_of, refusal, well_formed

PEPPER = b"p" * 32
KEY = format_key(b"s" * 24)


def test_a_key_is_a_prefix_and_its_secret_in_hex():
    assert KEY == "sk-hr-" + "73" * 24
    assert well_formed(KEY)
    assert len(KEY) < KEY_CHARS_MAX
    assert hint_of(KEY) == "7373"


@pytest.mark.parametrize(
    "presented",
    ["", "sk-hr-", KEY + "0", KEY[:-1], KEY + "\n", " " + KEY, KEY.upper(), "sk-" + KEY[6:], KEY[:-1] + "g", "ü" * 54],
)
def test_anything_else_is_no_key(presented):
    assert not well_formed(presented)


def test_what_is_stored_depends_on_the_pepper_and_on_every_character():
    stored = {hash_key(PEPPER, KEY), hash_key(b"q" * 32, KEY), hash_key(PEPPER, KEY[:-1]), hash_key(PEPPER, KEY + "0")}
    assert len(stored) == 4
    assert all(len(each) == 64 and KEY not in each for each in stored)
    assert hash_key(PEPPER, KEY) == hash_key(PEPPER, KEY)


@pytest.mark.parametrize("presented", ["", KEY, "k" * 10_000, "\ud800"])
def test_the_refusal_does_not_say_what_was_presented(presented):
    problem = refusal(presented)
    assert (problem.reason, problem.http_status, problem.started) == (Reason.INVALID_API_KEY, 401, False)
    assert not presented or presented not in problem.message


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
