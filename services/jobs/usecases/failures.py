"""Which failures pass, and what becomes of those that do not."""

from __future__ import annotations

import json

from libs.errors import TABLE, PlatformError, Reason

# The request is as good as before: it may be asked again, here or elsewhere, now or in an hour.
PASSING = frozenset(
    {
        Reason.OVERLOADED,
        Reason.RATE_LIMITED,
        Reason.NO_WORKER,
        Reason.WORKER_LOST,
        Reason.WRONG_DIGEST,
        Reason.DRAINING,
        Reason.STORE_UNAVAILABLE,
        Reason.ROUTER_UNAVAILABLE,
        Reason.UPSTREAM_ERROR,
        Reason.STREAM_INTERRUPTED,
        Reason.SLOW_READER,
        # Of a call; the job's own time is kept by the agenda.
        Reason.DEADLINE_EXCEEDED,
        # By a gateway that goes: nobody here cancels a call without leaving it.
        Reason.CANCELLED,
        Reason.ENGINE_DEAD,
        Reason.INTERNAL,
        # What runs under the same key elsewhere, and a gateway that is older than this service.
        Reason.CONFLICT,
        Reason.UNIMPLEMENTED,
    }
)
# What `perform` says of a caller or a request comes as an outcome: an error that speaks of rights speaks of this
# service's own, whose token is being changed.
_OWN_RIGHTS = frozenset({Reason.INVALID_API_KEY, Reason.PERMISSION_DENIED})
# Refusals for want of room: the pool is fuller than it seemed, and nothing is broken.
CROWDED = frozenset({Reason.OVERLOADED, Reason.RATE_LIMITED})


def lasting(error: PlatformError) -> bool:
    """Whether the same call will fail in the same way for ever."""
    return error.reason not in PASSING


def final(error: PlatformError) -> bool:
    """As `lasting`, of a call to perform a request: then the error is its result."""
    return lasting(error) and error.reason not in _OWN_RIGHTS


def body_of(error: PlatformError) -> bytes:
    """OpenAI's error body."""
    row = TABLE[error.reason]
    told = {"message": error.message, "type": row.openai_type, "param": error.param, "code": row.openai_code}
    return json.dumps({"error": told}).encode()
