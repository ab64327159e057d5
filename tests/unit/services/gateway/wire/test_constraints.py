"""What a call may cost at most and the least tier: in the body, in headers, the narrower of both."""

from __future__ import annotations

import json

import pytest

from libs.errors import PlatformError
from services.gateway.domain.idempotency import keyed
from services.gateway.domain.turns import NO_CONSTRAINTS, Constraints, Principal
from services.gateway.wire.limits import Limits
from services.gateway.wire.openai_chat_decode import ChatDecoder

ME, DECODER = Principal("acme", "key_1"), ChatDecoder(Limits())


def request(headers=None, **fields):
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], **fields}
    return DECODER.decode(json.dumps(body).encode(), headers or {}, ME).request


@pytest.mark.parametrize(
    ("headers", "body", "found"),
    [
        ({}, None, NO_CONSTRAINTS),
        ({"x-session-id": "s"}, None, NO_CONSTRAINTS),
        ({}, {}, NO_CONSTRAINTS),
        ({}, {"max_cost": "0.01"}, Constraints(10_000_000)),
        ({}, {"max_cost": 0.25, "min_tier": "large"}, Constraints(250_000_000, "large")),
        ({"x-headrace-max-cost": "0.5"}, None, Constraints(500_000_000)),
        ({"x-headrace-max-cost": "0.5"}, {"max_cost": 0.25}, Constraints(250_000_000)),
        ({"x-headrace-max-cost": "0"}, {"max_cost": 0.25}, Constraints(0)),
        ({"x-headrace-min-tier": "large"}, {"min_tier": "frontier"}, Constraints(None, "frontier")),
        ({"x-headrace-min-tier": "large"}, {"min_tier": "small"}, Constraints(None, "large")),
    ],
)
def test_the_narrower_counts(headers, body, found):
    got = request(headers, **({} if body is None else {"headrace": body}))
    assert got.constraints == found
    assert got.ignored_fields == ()


@pytest.mark.parametrize(
    ("headers", "body", "param"),
    [
        ({}, {"max_cost": "cheap"}, "headrace.max_cost"),
        ({}, {"max_cost": -1}, "headrace.max_cost"),
        ({}, {"max_cost": "1e-3"}, "headrace.max_cost"),
        ({}, {"min_tier": "huge"}, "headrace.min_tier"),
        ({}, {"min_tier": ""}, "headrace.min_tier"),
        ({}, {"max_price": "1"}, "headrace"),
        ({}, "cheap", "headrace"),
        ({"x-headrace-max-cost": "NaN"}, None, "x-headrace-max-cost"),
        ({"x-headrace-min-tier": "LARGE"}, None, "x-headrace-min-tier"),
    ],
)
def test_what_is_no_constraint_is_a_400_that_names_it(headers, body, param):
    with pytest.raises(PlatformError) as caught:
        request(headers, **({} if body is None else {"headrace": body}))
    assert (caught.value.http_status, caught.value.param) == (400, param)


def test_an_idempotency_key_stands_for_its_constraints_too():
    plain, bound = request(), request({"x-headrace-max-cost": "0.5"})
    fingerprints = {keyed("k", "chat", b"body", each, ME).fingerprint for each in (plain, bound, request())}
    assert len(fingerprints) == 2
