import pytest

from libs.errors import Reason
from services.gateway.domain.ledger.told import duration, not_reserved, refused, span, standing_headers
from services.gateway.domain.ledger.types import Rate, Refusal, Standing


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0ms"), (0.0171, "18ms"), (1, "1s"), (59.5, "59.5s"), (360, "6m0s"), (3661, "61m1s")]
)
def test_resets_read_as_openais_do(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "1s"),
        (60, "1m"),
        (310, "5m10s"),
        (3600, "1h"),
        (7_201, "2h1m"),
        (30 * 86_400, "30d"),
        (30 * 86_400 - 7_200, "29d22h"),
        (30 * 86_400 - 1, "30d"),
        (3_599, "59m59s"),
        (7_199, "2h"),
    ],
)
def test_spans_are_for_people_and_never_too_short(seconds, text):
    assert span(seconds) == text


def test_a_window_says_when_it_begins_anew_and_a_session_what_else_helps():
    window = refused(Refusal("budget", "t", 5, 29 * 86_400_000_000, "30d"), Standing())
    assert window.message.endswith("It begins anew in 29d.")
    session = refused(Refusal("budget", "s:abc", 5, -1, "total"), Standing())
    assert "begin another session" in session.message
    assert "session" not in refused(Refusal("budget", "k:key_1", 5, -1, "total"), Standing()).message


def test_headers_tell_what_is_limited_and_nothing_else():
    assert standing_headers(Standing()) == {}
    told = standing_headers(Standing(Rate(60, 59, 1.0), Rate(1000, 900, 6.0), 1_250_000_000))
    assert told == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "900",
        "x-ratelimit-reset-tokens": "6s",
        "x-headrace-budget-remaining-usd": "1.25",
    }


@pytest.mark.parametrize("kind", ["requests", "tokens"])
def test_a_rate_says_which_and_when_again(kind):
    error = refused(Refusal(kind, "k:key_1", 60, 1_500_000), Standing())
    assert (error.reason, error.retry_after_seconds) == (Reason.RATE_LIMITED, 1.5)
    assert "the API key" in error.message
    assert f"60 {kind} per minute" in error.message
    assert "key_1" not in error.message
    assert "x-should-retry" not in error.headers


def test_what_never_fits_is_not_to_be_tried_again():
    error = refused(Refusal("tokens", "t", 10, -1), Standing())
    assert (error.reason, error.retry_after_seconds) == (Reason.RATE_LIMITED, None)
    assert error.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (Refusal("budget", "t", 5, -1, "total"), Reason.INSUFFICIENT_QUOTA),
        (Refusal("budget", "t", 5, 1_000_000, "30s"), Reason.BUDGET_EXCEEDED),
        (Refusal("budget", "s:abc", 5, -1, "total"), Reason.BUDGET_EXCEEDED),
        (Refusal("held", "u:ada", 5, -1, "total"), Reason.BUDGET_EXCEEDED),
        (Refusal("request", "request", 5, -1), Reason.BUDGET_EXCEEDED),
        (Refusal("reserved", "t", 5, -1), Reason.BUDGET_EXCEEDED),
    ],
)
def test_a_budget_is_not_to_be_tried_again(refusal, reason):
    error = refused(refusal, Standing(budget_remaining=3))
    assert (error.reason, error.http_status, error.started) == (reason, 429, False)
    assert error.headers["x-should-retry"] == "false"
    assert error.headers["x-headrace-budget-remaining-usd"] == "0.000000003"
    assert error.retry_after_seconds is None


def test_who_is_blocked_is_told_so_as_a_key_that_is_not_valid():
    error = refused(Refusal("off", "u:ada", "blocked", -1), Standing())
    assert error.reason is Reason.INVALID_API_KEY
    assert "the user is blocked" in error.message


def test_too_many_at_once_may_be_tried_again():
    error = refused(Refusal("parallel", "k:key_1", 2, -1), Standing())
    assert (error.reason, error.retry_after_seconds) == (Reason.RATE_LIMITED, 1.0)


def test_what_cannot_be_set_aside_says_how_much_which_limit_and_what_to_do():
    capped = not_reserved(Refusal("reserved", "t", 5_000_000_000, -1), 7_000_000_000)
    assert (capped.reason, capped.started) == (Reason.BUDGET_EXCEEDED, False)
    assert "up to 7 USD" in capped.message
    assert "reservations of the tenant may hold 5 USD in all" in capped.message
    spent = not_reserved(Refusal("budget", "u:ada", 5_000_000_000, -1, "30d"), 7_000_000_000)
    assert "the budget of the user (5 USD, 30d) has less left" in spent.message
    assert "Lower max_tokens" in spent.message
    closed = not_reserved(Refusal("off", "k:key_1", "expired", -1), 1)
    assert closed.reason is Reason.INVALID_API_KEY
