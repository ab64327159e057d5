"""An endpoint's refusals as PlatformErrors. Its words are passed on, bounded; its headers never."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from typing import Any

import msgspec

from libs.errors import PlatformError, Reason

_WORDS_MAX = 300
_RETRY_MAX_SECONDS = 3600.0


def refusal(status: int, headers: Mapping[str, str], body: bytes, now_unix: float) -> PlatformError:
    """The error for an answer that is not 200. `started` is False: a refusal is no work."""
    words, code, param = _words(body)
    reason, text = _reason(status, code)
    message = f"the upstream endpoint answered {status}, {text}" + (f": {words}" if words else "")
    return PlatformError(
        reason, message, retry_after_seconds(headers.get("retry-after"), now_unix), started=False, param=param
    )


def in_stream(payload: Mapping[str, Any]) -> PlatformError:
    """The error for an error event in a stream that had begun."""
    words, _, _ = _words(msgspec.json.encode(payload))
    return PlatformError(Reason.UPSTREAM_ERROR, f"the upstream endpoint broke off its answer: {words or 'no reason'}")


def retry_after_seconds(value: str | None, now_unix: float) -> float | None:
    """Seconds of a Retry-After header (RFC 9110: seconds or a date), at most an hour; None when there is none."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now_unix
        except ValueError:
            return None
    return min(max(seconds, 0.0), _RETRY_MAX_SECONDS) if seconds == seconds else None  # noqa: PLR0124 - NaN


_KNOWN = {
    429: (Reason.OVERLOADED, "it limits the rate: try later"),
    # Not the client's key: the operator's.
    401: (Reason.UPSTREAM_ERROR, "it does not accept this worker's key: check upstream.key_file"),
    403: (Reason.UPSTREAM_ERROR, "it does not accept this worker's key: check upstream.key_file"),
    404: (Reason.UPSTREAM_ERROR, "it does not know the model or path: check upstream.url and upstream.model"),
    408: (Reason.UPSTREAM_ERROR, "it has failed: try later"),
    413: (Reason.PAYLOAD_TOO_LARGE, "the request is too large for it"),
}


def _reason(status: int, code: str) -> tuple[Reason, str]:
    if code == "context_length_exceeded":
        return Reason.CONTEXT_LENGTH_EXCEEDED, "the prompt is too long for it"
    if status in _KNOWN:
        return _KNOWN[status]
    if 400 <= status < 500:
        return Reason.INVALID_REQUEST, "it refuses the request"
    return Reason.UPSTREAM_ERROR, "it has failed: try later"


def _words(body: bytes) -> tuple[str, str, str | None]:
    """Message, code and param of an OpenAI error body, or of whatever it is."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", "", None
    error = decoded.get("error", decoded) if isinstance(decoded, dict) else decoded
    if isinstance(error, str):
        return error[:_WORDS_MAX], "", None
    if not isinstance(error, dict):
        return "", "", None
    message, code, param = error.get("message"), error.get("code"), error.get("param")
    return (
        message[:_WORDS_MAX] if isinstance(message, str) else "",
        code if isinstance(code, str) else "",
        param if isinstance(param, str) else None,
    )
