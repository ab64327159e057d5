"""What may be submitted, and which job it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.errors import PlatformError, Reason
from services.jobs.domain.job import Caller, Webhook
from services.jobs.domain.submission import (
    CHAT_PATH,
    LIVES,
    Asked,
    Submission,
    SubmissionLimits,
    check,
    digest,
    job_ids,
    parts_of,
)

ANN = Caller("acme", "key-1", "ann")
ONE = (Asked("", b"work", CHAT_PATH, "small"),)


def make(**more):
    return Submission(**({"caller": ANN, "digest": "d", "requests": ONE} | more))


def refusal(submission, limits=None):
    with pytest.raises(PlatformError) as raised:
        check(submission, limits or SubmissionLimits())
    return raised.value


def test_a_job_within_its_bounds_is_taken():
    hook = Webhook("https://example.com:8443/hook?x=1", "s" * 16)
    metadata = {"k" * 64: "v" * 512} | {f"k{n}": "" for n in range(15)}
    check(make(expires_seconds=60, priority=-100, metadata=metadata, webhook=hook, key="k" * 255), SubmissionLimits())
    check(make(requests=(), input_file_id="file-1", endpoint=CHAT_PATH, batch=True), SubmissionLimits())


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"requests": ()}, "requests"),
        ({"input_file_id": "file-1", "endpoint": CHAT_PATH, "batch": True}, "requests"),
        ({"requests": (), "input_file_id": "file-1", "endpoint": CHAT_PATH}, "input_file_id"),
        ({"requests": (), "input_file_id": "file-1", "endpoint": "/v1/embeddings", "batch": True}, "endpoint"),
        ({"requests": ONE * 1001}, "requests"),
        ({"requests": (*ONE, Asked("", b"", "/v1/embeddings", "m"))}, "requests[1].url"),
        ({"requests": (Asked("x" * 513, b"", CHAT_PATH, "m"),)}, "requests[0].custom_id"),
        ({"requests": (Asked("a", b"", CHAT_PATH, "m"),) * 2}, "requests[1].custom_id"),
        ({"expires_seconds": 59}, "expires_in_seconds"),
        ({"expires_seconds": 7 * 86_400 + 1}, "expires_in_seconds"),
        ({"priority": 101}, "priority"),
        ({"priority": -101}, "priority"),
        ({"key": "k" * 256}, "Idempotency-Key"),
        ({"key": "a\nb"}, "Idempotency-Key"),
        ({"metadata": {f"k{n}": "" for n in range(17)}}, "metadata"),
        ({"metadata": {"": "v"}}, "metadata"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_name(more, param):
    problem = refusal(make(**more))
    assert (problem.reason, problem.param, problem.started) == (Reason.INVALID_REQUEST, param, False)


def test_requests_without_a_name_may_be_many():
    check(make(requests=ONE * 1000), SubmissionLimits())


def test_what_does_not_fit_a_message_is_told_so():
    big = Asked("", b"x" * 100, CHAT_PATH, "m")
    problem = refusal(make(requests=(big, big)), SubmissionLimits(bytes_max=199))
    assert (problem.reason, problem.param) == (Reason.PAYLOAD_TOO_LARGE, "requests")
    check(make(requests=(big, big)), SubmissionLimits(bytes_max=200))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "example.com",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://user:word@example.com/",
        "https://example.com/#there",
        "https://example.com:0/",
        "https://example.com:x/",
        "https://exa mple.com/",
        "https://ex\u00e4mple.com/",
        "https://example.com/\nhost: x",
        "https://example.com/" + "x" * 2048,
        "",
    ],
)
def test_addresses_of_webhooks_have_one_form(url):
    assert refusal(make(webhook=Webhook(url, "s" * 16))).param == "webhook.url"


def test_plain_http_is_the_operators_to_allow():
    hook = make(webhook=Webhook("http://example.com/", "s" * 16))
    check(hook, SubmissionLimits(plain_http=True))
    assert refusal(hook).param == "webhook.url"


@pytest.mark.parametrize("secret", ["", "s" * 15, "s" * 257, "s" * 16 + "\n"])
def test_secrets_of_webhooks_are_long_enough_and_never_told(secret):
    problem = refusal(make(webhook=Webhook("https://example.com/", secret)))
    assert problem.param == "webhook.secret"
    assert not secret.strip() or secret not in problem.message


def test_without_a_key_every_submission_is_a_job_of_its_own():
    assert job_ids(make(), lambda size: b"\x01" * size) == ["job_" + "01" * 12]
    assert job_ids(make(batch=True), lambda size: b"\x02" * size) == ["batch_" + "02" * 12]


def test_a_key_names_one_job_per_user_or_else_per_key():
    def first(caller, key="k"):
        return job_ids(make(caller=caller, key=key), lambda _: b"")[0]

    assert first(ANN) == first(Caller("acme", "key-2", "ann"))
    others = [
        ANN,
        Caller("acme", "key-1", "bob"),
        Caller("other", "key-1", "ann"),
        Caller("acme", "ann"),
        Caller("acme", "key-1"),
        Caller("acme", "key-2"),
    ]
    assert len({first(each) for each in others}) == len(others)
    assert first(ANN, "l") != first(ANN)


def test_every_life_of_a_key_has_an_id():
    ids = job_ids(make(key="k"), lambda _: b"")
    assert len(set(ids)) == LIVES
    assert ids == job_ids(make(key="k"), lambda _: b"")


@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_parts_of_a_digest_do_not_run_into_each_other(one, other):
    assert (digest(*one) == digest(*other)) == (one == other)


@given(st.integers(1, 200), st.integers(1, 50))
def test_parts_hold_every_request_once_in_order(count, size):
    models = [f"m{n}" for n in range(count)]
    parts = parts_of("job_1", models, size)
    assert [part.number for part in parts] == list(range(len(parts)))
    assert [name for part in parts for name in part.models] == models
    assert all(part.count == len(part.models) <= size and part.reservation == "job_1" for part in parts)
    assert [part.first for part in parts] == [size * n for n in range(len(parts))]
