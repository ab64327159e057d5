"""What the end of an attempt says of its worker: nothing, that it failed, or that it is done for."""

from __future__ import annotations

from libs.errors import PlatformError, Reason
from services.gateway.domain.attempts import Outcome

# Causes that open a breaker at once: the worker itself said that it has no engine.
AT_ONCE = frozenset({"engine-dead"})
# The worker is as it should be: it is full, or leaves, or was asked for what it does not serve, or waited for us.
_NO_FAULT = frozenset(
    {Reason.OVERLOADED, Reason.DRAINING, Reason.WRONG_DIGEST, Reason.MODEL_NOT_FOUND, Reason.SLOW_READER}
)


def cause_of(outcome: Outcome, error: PlatformError) -> str:
    """Why the worker is to blame: "connect", "lost", "engine-dead", "stalled" or "error"; "" = it is not."""
    if outcome in (Outcome.FINAL, Outcome.DRAIN) or error.reason in _NO_FAULT:
        return ""
    if error.reason is Reason.ENGINE_DEAD:
        return "engine-dead"
    if outcome is Outcome.NOT_STARTED:
        return "connect" if error.reason is Reason.WORKER_LOST else "error"
    if outcome is Outcome.STALL:
        return "stalled"
    return "error" if outcome is Outcome.FAILED else "lost"
