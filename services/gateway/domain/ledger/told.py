"""What a client is told of its limits: headers on every reply, and the words of a refusal."""

from __future__ import annotations

from math import ceil

from libs.errors import PlatformError, Reason
from libs.money import to_dollars
from services.gateway.domain.ledger.types import Rate, Refusal, Standing

BUDGET_REMAINING = "x-headrace-budget-remaining-usd"
COST = "x-headrace-cost-usd"
# Running calls come and go in about this time; there is no way to know.
_PARALLEL_RETRY_SECONDS = 1.0
_SCOPES = {"t": "the tenant", "u": "the user", "k": "the API key", "s": "the session"}
_UNITS = ((86_400, 3_600, "d", "h"), (3_600, 60, "h", "m"), (60, 1, "m", "s"))
_RATES = {"requests": "requests per minute", "tokens": "tokens per minute"}


def standing_headers(standing: Standing) -> dict[str, str]:
    """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}` as OpenAI has them, and what is left of the budget.

    A limit that does not exist has no header.
    """
    told: dict[str, str] = {}
    if standing.requests is not None:
        _tell_rate(told, "requests", standing.requests)
    if standing.tokens is not None:
        _tell_rate(told, "tokens", standing.tokens)
    if standing.budget_remaining is not None:
        told[BUDGET_REMAINING] = to_dollars(standing.budget_remaining)
    return told


def _tell_rate(told: dict[str, str], name: str, rate: Rate) -> None:
    told[f"x-ratelimit-limit-{name}"] = str(rate.limit)
    told[f"x-ratelimit-remaining-{name}"] = str(rate.remaining)
    told[f"x-ratelimit-reset-{name}"] = duration(rate.reset_seconds)


def duration(seconds: float) -> str:
    """Seconds in the form that OpenAI's reset headers have, e.g. "6m0s", "1s", "17ms"."""
    if seconds < 1:
        return f"{ceil(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"


def span(seconds: int) -> str:
    """Seconds in the two largest units for somebody to read, rounded up: "30s", "5m10s", "29d3h"."""
    for unit, below, name, part in _UNITS:
        if seconds >= unit:
            count, lesser = divmod(ceil(seconds / below), unit // below)
            return f"{count}{name}{lesser}{part}" if lesser else f"{count}{name}"
    return f"{seconds}s"


def refused(refusal: Refusal, standing: Standing) -> PlatformError:
    """The error for a hold that was refused: which limit, when again, and whether to try again at all."""
    error = _error(refusal)
    error.headers = standing_headers(standing) | dict(error.headers)
    return error


def not_reserved(refusal: Refusal, amount: int) -> PlatformError:
    """The error for an amount (nano-dollars) that could not be set aside: which limit, and what can be done."""
    if refusal.kind == "off":
        return _error(refusal)
    whose, limit = _SCOPES.get(refusal.scope[:1], "the request"), to_dollars(int(refusal.limit))
    what = f"This may cost up to {to_dollars(amount)} USD, which must be set aside first"
    if refusal.kind == "reserved":
        why = f"reservations of {whose} may hold {limit} USD in all, and would hold more"
    else:
        why = f"the budget of {whose} ({limit} USD, {refusal.duration}) has less left"
    message = (
        f"{what}, and {why}. Lower max_tokens, send fewer requests, or send it again when jobs and calls that are "
        "running have ended; an administrator can raise the limit."
    )
    headers = {"x-should-retry": "false"}
    return PlatformError(Reason.BUDGET_EXCEEDED, message, started=False, headers=headers)


def _error(refusal: Refusal) -> PlatformError:
    whose = _SCOPES.get(refusal.scope[:1], "the request")
    match refusal.kind:
        case "requests" | "tokens":
            return _rate_limited(refusal, whose)
        case "parallel":
            message = (
                f"Rate limit reached: {whose} may have {refusal.limit} parallel requests, and has them. "
                "Wait for one to end."
            )
            return _limited(message, _PARALLEL_RETRY_SECONDS)
        case "off":
            return _off(refusal, whose)
        case _:
            return _budget(refusal, whose)


def _rate_limited(refusal: Refusal, whose: str) -> PlatformError:
    what = _RATES[refusal.kind]
    if refusal.wait_us < 0:
        message = (
            f"Request too large: it needs more than the {refusal.limit} {what} that {whose} has in all. "
            "Shorten the prompt or set a lower max_tokens."
        )
        error = _limited(message, None)
        error.headers = {"x-should-retry": "false"}
        return error
    wait = refusal.wait_us / 1_000_000
    message = f"Rate limit reached: {whose} has {refusal.limit} {what}. Try again in {duration(wait)}."
    return _limited(message, wait)


def _limited(message: str, wait: float | None) -> PlatformError:
    return PlatformError(Reason.RATE_LIMITED, message, retry_after_seconds=wait, started=False)


def _off(refusal: Refusal, whose: str) -> PlatformError:
    message = f"This call is not allowed: {whose} is {refusal.limit}. Use another API key, or ask your administrator."
    return PlatformError(Reason.INVALID_API_KEY, message, started=False)


def _budget(refusal: Refusal, whose: str) -> PlatformError:
    """Waiting for a window to end is nothing that a client's few retries can do: none is asked for."""
    limit = to_dollars(int(refusal.limit))
    reason = Reason.BUDGET_EXCEEDED
    if refusal.kind == "request":
        message = f"This request may cost {limit} USD at most, and would hold more. Set a lower max_tokens or n."
    elif refusal.kind == "reserved":
        message = f"Reservations of {whose} may hold {limit} USD at most. Wait for jobs to end, or raise the cap."
    elif refusal.kind == "held":
        message = (
            f"The budget of {whose} ({limit} USD, {refusal.duration}) is held by calls that are running. What they do "
            "not use is free again when they end: send the request again then, or lower max_tokens."
        )
    else:
        if refusal.duration == "total" and refusal.scope[:1] != "s":
            reason = Reason.INSUFFICIENT_QUOTA
        message = f"The budget of {whose} ({limit} USD, {refusal.duration}) does not cover this call. {_again(refusal)}"
    return PlatformError(reason, message, started=False, headers={"x-should-retry": "false"})


def _again(refusal: Refusal) -> str:
    if refusal.wait_us < 0:
        other = "begin another session, or " if refusal.scope[:1] == "s" else ""
        return f"It does not come back by itself: {other}ask your administrator to raise it."
    return f"It begins anew in {span(ceil(refusal.wait_us / 1_000_000))}."
