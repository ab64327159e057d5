"""Keys in URLs: what is one, what is not, and what is said."""

from __future__ import annotations

import pytest

from services.gateway.api.keys_in_urls import refusal_of
from services.gateway.wire.key_texts import scrub

KEY = "sk-hr-0123456789abcdef"


def refused(path, query=""):
    return refusal_of({"path": path, "query_string": query.encode("latin-1")})


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/chat/completions", f"api_key={KEY}"),
        ("/v1/chat/completions", f"{KEY}"),
        ("/v1/models", f"x={KEY}"),
        ("/v1/models", f"{KEY}=x"),
        ("/v1/models", "x=sk%2Dhr%2D0123456789abcdef"),
        ("/v1/models", "api_key=whatever"),
        ("/v1/models", "ACCESS_TOKEN=whatever"),
        ("/v1/models", "a=1;b=" + KEY),
        ("/v1/models", "a=Bearer+sk-ant-0123456789"),
        ("/key/info", f"key=key_1&user={KEY}"),
        ("/key/info", f"api_key={KEY}"),
        ("/spend/logs", f"key={KEY}"),
        (f"/v1/admin/keys/{KEY}", ""),
        (f"/v1/admin/keys/{KEY}/regenerate", ""),
        (f"/key/{KEY}", ""),
        (f"/{KEY}/x", ""),
    ],
)
def test_a_key_in_a_url_is_refused_without_being_repeated(path, query):
    problem = refused(path, query)
    assert problem.http_status == 400
    assert "Authorization: Bearer" in problem.message
    assert "0123456789" not in problem.message


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/models", ""),
        ("/v1/models", "after=task-list-2&limit=5"),
        ("/v1/models/task-list-of-ours", ""),
        ("/v1/admin/keys/key_0123", "tenant=risk-analysis"),
        ("/key/info", f"key={KEY}"),
        ("/spend/logs", f"api_key={KEY}&start_date=2026-01-01"),
        ("/global/spend/report", f"api_key={KEY}"),
        (f"/key/{KEY}/regenerate", ""),
        ("/v1/models", "%ff%fe=\xff"),
    ],
)
def test_what_is_no_key_or_selects_one_for_litellms_scripts_is_not(path, query):
    assert refused(path, query) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"There is no key '{KEY}'.", "There is no key 'sk-…'."),
        (f"{KEY}{KEY} and sk-ant-api03-xyz", "sk-… and sk-…"),
        ("the task-master, risk-averse", "the task-master, risk-averse"),
        ("sk-", "sk-"),
        ("", ""),
    ],
)
def test_texts_are_scrubbed(text, wanted):
    assert scrub(text) == wanted
