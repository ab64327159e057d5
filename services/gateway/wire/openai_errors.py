"""A PlatformError in OpenAI's error body, and the headers that go with it."""

from __future__ import annotations

from math import ceil

from libs.errors import TABLE, PlatformError, Reason
from services.gateway.wire.json_text import encode
from services.gateway.wire.key_texts import scrub

Headers = list[tuple[bytes, bytes]]
# Statuses of the HTTP machinery itself, which have no reason of their own.
_BY_STATUS = {
    400: Reason.INVALID_REQUEST,
    401: Reason.INVALID_API_KEY,
    403: Reason.PERMISSION_DENIED,
    404: Reason.NOT_FOUND,
    405: Reason.METHOD_NOT_ALLOWED,
    413: Reason.PAYLOAD_TOO_LARGE,
    422: Reason.INVALID_REQUEST,
    503: Reason.OVERLOADED,
}


def error_body(problem: PlatformError) -> bytes:
    """`{"error": {message, type, param, code}}`. Errors name what was sent, and that may be a key: none is repeated."""
    row = TABLE[problem.reason]
    return encode(
        {
            "error": {
                "message": scrub(problem.message),
                "type": row.openai_type,
                "param": problem.param and scrub(problem.param),
                "code": row.openai_code,
            }
        }
    )


def error_headers(problem: PlatformError) -> Headers:
    """Retry-After in whole seconds and retry-after-ms (which OpenAI's clients prefer), and the challenge of a 401."""
    headers: Headers = []
    if problem.retry_after_seconds is not None:
        wait = max(0.0, problem.retry_after_seconds)
        headers.append((b"retry-after", b"%d" % max(1, ceil(wait))))
        headers.append((b"retry-after-ms", b"%d" % ceil(wait * 1000)))
    headers += [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    if problem.reason is Reason.INVALID_API_KEY:
        headers.append((b"www-authenticate", b'Bearer realm="headrace"'))
    return headers


def from_status(status: int, message: str) -> PlatformError:
    """The error of a status that the framework chose."""
    fallback = Reason.INVALID_REQUEST if status < 500 else Reason.INTERNAL
    return PlatformError(_BY_STATUS.get(status, fallback), message, started=False)


def unexpected() -> PlatformError:
    """The error of a defect of ours: the client learns the request id (a header), the log has the rest."""
    return PlatformError(
        Reason.INTERNAL, "The gateway failed unexpectedly. Give the operator the x-request-id of this reply."
    )


def cut_short() -> PlatformError:
    """The error of an answer that ended before its last part."""
    return PlatformError(Reason.STREAM_INTERRUPTED, "The answer ended without its last part. Try again.")
