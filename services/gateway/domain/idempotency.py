"""Idempotency keys: what one binds together, and what the store knows of an answer that is made under it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from libs.errors import PlatformError, Reason
from services.gateway.domain.choose import AUTO_NAMES
from services.gateway.domain.turns import NO_CONSTRAINTS, ChatRequest, Principal

HEADER = "Idempotency-Key"
KEY_CHARS_MAX = 255
# The route of work for which nobody waits.
WORK = "work"


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one answer: a tenant's key on one route. `digest` is hex, whatever characters the key has."""

    tenant: str
    digest: str


@dataclass(frozen=True, slots=True)
class Keyed:
    """A call with an idempotency key. `fingerprint` is a digest of all that makes it the same call again."""

    slot: Slot
    fingerprint: str


class State(StrEnum):
    """Of an answer. `BROKEN`: it ended in an error after it had begun. `LARGE`: too long to be kept.

    `ABANDONED`: nobody wants it any more.
    """

    FREE = "free"
    RUNNING = "running"
    DONE = "done"
    BROKEN = "broken"
    LARGE = "large"
    ABANDONED = "abandoned"


class Verdict(StrEnum):
    """What a claim finds. `OWN`: the caller makes the answer. `TAKEN`: it goes on with one whose owner is lost."""

    OWN = "own"
    TAKEN = "taken"
    RUNNING = "running"
    DONE = "done"
    LARGE = "large"
    ABANDONED = "abandoned"
    MISMATCH = "mismatch"


class Kept(StrEnum):
    """What became of a part of the log. `LOST`: the answer has another owner by now. `ABANDONED`: nobody wants it."""

    YES = "yes"
    LARGE = "large"
    LOST = "lost"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Claim:
    """A wish to make an answer. `owner` is a random name of this try.

    `answer_id` is the id that clients see, `run_id` the one the work runs under; they differ where an answer is made
    anew after the first run's money was settled. `created` is Unix seconds.
    """

    owner: str
    answer_id: str
    run_id: str
    created: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer's own ids and time, and which `generation` of its log is the valid one."""

    verdict: Verdict
    answer_id: str = ""
    run_id: str = ""
    created: int = 0
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the log. `lapsed`: it is running, and its owner has not been heard of for longer than its lease."""

    state: State
    run_id: str = ""
    generation: int = 0
    lapsed: bool = False
    entries: Sequence[bytes] = ()


def keyed(key: str, route: str, body: bytes, request: ChatRequest, principal: Principal) -> Keyed:
    """Binds a key to tenant, route and call. Raises INVALID_REQUEST for a key that is none.

    The body is the call; what headers add to it is the session and the constraints. A session belongs to one key and
    user: with one, the call of another principal is another call, and never gets this one's answer. So is that of a key
    with other models where the model is chosen: a model may have answered that this key may not use.
    """
    if not 0 < len(key) <= KEY_CHARS_MAX or not key.isprintable():
        message = f"'{HEADER}' must have 1 to {KEY_CHARS_MAX} printable characters. Send a random one, such as a UUID."
        raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param=HEADER)
    digest = _digest(route.encode(), key.encode())
    session = request.session.explicit
    parts: tuple[str, ...] = (session, principal.key_id, request.user) if session else ()
    if request.constraints != NO_CONSTRAINTS:
        parts = (*parts, repr(request.constraints))
    if request.model in AUTO_NAMES and principal.models is not None:
        parts = (*parts, repr(sorted(principal.models)))
    return Keyed(Slot(principal.tenant, digest), _digest(body, *[part.encode() for part in parts]))


def keyed_work(tenant: str, key: str, body: bytes) -> Keyed:
    """Binds the key of a job's step to its request. No caller's own key gets there, whatever its characters.

    Who asks is no part of it: the answer belongs to the job, whatever has become of its caller's rights meanwhile.
    """
    return Keyed(Slot(tenant, _digest(WORK.encode(), key.encode())), _digest(body))


def _digest(*parts: bytes) -> str:
    """Of parts that cannot run into each other."""
    found = hashlib.sha256()
    for part in parts:
        found.update(b"%d:" % len(part))
        found.update(part)
    return found.hexdigest()


def mismatch() -> PlatformError:
    """The key stands for another call."""
    message = (
        f"This '{HEADER}' was used for another request, of which body or session differ. "
        "Send a new key with a new request, or the same request with its key."
    )
    return PlatformError(Reason.IDEMPOTENCY_MISMATCH, message, started=False, param=HEADER)


def too_large() -> PlatformError:
    """The answer was too long for the log."""
    message = (
        f"The request with this '{HEADER}' was taken, and its answer is too long to be kept and sent again. "
        "Send a new key to have a new answer made, which is charged."
    )
    return PlatformError(Reason.CONFLICT, message, started=False, param=HEADER)


class AbandonedError(PlatformError):
    """Nobody wants the answer any more: its job has ended."""


def abandoned() -> AbandonedError:
    """The answer was given up by its job."""
    return AbandonedError(Reason.CANCELLED, "The request was cancelled before its answer was whole.")


def unkept() -> PlatformError:
    """There is no store for answers here."""
    message = f"This gateway keeps no answers, so '{HEADER}' cannot be honoured. Send the request without it."
    return PlatformError(Reason.UNIMPLEMENTED, message, started=False, param=HEADER)


def taken_over() -> PlatformError:
    """Another gateway goes on with the answer, for this one was silent for longer than its lease."""
    message = (
        "The answer stopped in the middle: another gateway has taken it over. "
        f"Send the request again with its '{HEADER}' for the whole answer."
    )
    return PlatformError(Reason.STREAM_INTERRUPTED, message)
