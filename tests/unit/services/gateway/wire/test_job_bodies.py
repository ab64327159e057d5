"""Bodies of jobs: every byte of a request goes on as it came, bit by bit."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.errors import PlatformError
from services.gateway.wire.job_bodies import PATH, body_of


def whole(raw):
    """(the body, how often it let others have their turn)."""
    bits, turns = body_of(raw, 1000), 0
    while True:
        try:
            next(bits)
        except StopIteration as end:
            return end.value, turns
        turns += 1


def bodies(raw):
    return [request.work.body for request in whole(raw)[0].submission.requests]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text("xyz", min_size=1, max_size=4), JSON, max_size=4), min_size=1, max_size=5))
def test_requests_go_on_byte_by_byte(requests):
    texts = [json.dumps(request, indent=1).encode() for request in requests]
    assert bodies(b'{"requests":[' + b" , ".join(texts) + b"]}") == texts
    wrapped = [b'{"custom_id":"c","body": %b }' % text for text in texts]
    assert bodies(b'{"requests":[' + b",".join(wrapped) + b"]}") == texts


def test_a_single_request_without_options_is_the_body_itself():
    raw = b' {"model" : "small",\n "messages":[]} '
    body, _ = whole(raw)
    assert (body.single, body.submission.requests[0].work.body, body.submission.requests[0].work.path) == (
        True,
        raw,
        PATH,
    )


def test_the_jobs_options_are_taken_out_and_nothing_else():
    raw = b'{"a":1.50,"job":{"priority":2,"metadata":{"x":"y"},"webhook":{"url":"u","secret":"s"}},"b":"\\u00e4"}'
    submission = whole(raw)[0].submission
    assert submission.requests[0].work.body == b'{"a":1.50,"b":"\\u00e4"}'
    assert (submission.priority, dict(submission.metadata), submission.webhook.url) == (2, {"x": "y"}, "u")


def test_nothing_given_is_nothing_set():
    nulls = b'{"requests":[{"body":{}}],"priority":null,"metadata":null,"webhook":null,"expires_in_seconds":null}'
    submission = whole(nulls)[0].submission
    assert (submission.priority, submission.expires_in_seconds, submission.HasField("webhook")) == (0, 0, False)


def test_large_bodies_leave_turns_to_others():
    request = {"messages": "x" * 8192}
    assert whole(json.dumps({"requests": [request] * 800}).encode())[1] >= 20
    # The smallest requests take their time too.
    assert whole(json.dumps({"requests": [{}] * 1000}).encode())[1] >= 3


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b'{"requests":{}}', b'{"requests":[{]}', b"null"])
def test_what_is_no_such_json_is_a_400(raw):
    with pytest.raises(PlatformError) as raised:
        whole(raw)
    assert (raised.value.http_status, raised.value.started) == (400, False)
