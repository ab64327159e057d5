"""When another attempt follows a failed one: the whole rule, as a pure state machine (design: when a worker dies).

Three ways to go on, each with its own cap: the next candidate after a refusal, evacuation after a loss, and a retry
after a failure, which the retry budget must allow. A request that has cost two workers their lives gets no third.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from libs.errors import PlatformError, Reason


class Outcome(StrEnum):
    """How an attempt ended. `LOST` is a `DEATH` or a `DISCONNECT` of which it is not known yet which.

    `STALL`: its worker lives, and said nothing for too long.
    """

    NOT_STARTED = "not_started"
    LOST = "lost"
    DEATH = "death"
    DISCONNECT = "disconnect"
    DRAIN = "drain"
    STALL = "stall"
    FAILED = "failed"
    FINAL = "final"


LOSSES = frozenset({Outcome.LOST, Outcome.DEATH, Outcome.DISCONNECT, Outcome.DRAIN, Outcome.STALL})
# The worker lives: these losses speak for another try.
HARMLESS = frozenset({Outcome.DISCONNECT, Outcome.DRAIN})
# What keeps a gateway from going on with an answer, and not the next one that tries.
PASSING = frozenset(
    {Reason.STORE_UNAVAILABLE, Reason.ROUTER_UNAVAILABLE, Reason.NO_WORKER, Reason.OVERLOADED, Reason.DRAINING}
)
# The call itself is at fault, or its time is up: no worker would answer otherwise.
_FINAL_STATUS = frozenset({400, 413, 501, 504})


def outcome_of(error: PlatformError) -> Outcome:
    """Classifies the error an attempt ended with."""
    if error.http_status in _FINAL_STATUS:
        return Outcome.FINAL
    if not error.started:
        return Outcome.NOT_STARTED
    match error.reason:
        case Reason.DRAINING:
            return Outcome.DRAIN
        case Reason.ENGINE_DEAD:
            return Outcome.DEATH
        case Reason.WORKER_LOST | Reason.CANCELLED:
            return Outcome.LOST
        case _:
            return Outcome.FAILED


class Verdict(Enum):
    """What follows. `PROBE`: first find out which of the lost workers live, then ask again."""

    GO_ON = "go on"
    PROBE = "probe"
    RETRY = "retry, if the budget allows"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Caps:
    """How often one request may go on for each cause."""

    not_started_max: int = 2
    evacuations_max: int = 2
    retries_max: int = 2


@dataclass(slots=True)
class PastAttempt:
    """One attempt that is over: where it ran, how it ended, and the error's reason.

    `first_token_ms` is from its opening to its first delta; None = it gave none.
    """

    worker: str
    address: str
    boot_id: str
    outcome: Outcome
    reason: str = ""
    first_token_ms: float | None = None
    # The model that it was to answer as.
    model: str = ""


class Attempts:
    """The history of a request's attempts and the verdict on it."""

    __slots__ = ("_caps", "ended", "prior_deaths")

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        self.ended: list[PastAttempt] = []
        # Workers that have died under the same request in earlier calls.
        self.prior_deaths = 0

    def add(self, attempt: PastAttempt) -> None:
        """Records how the attempt in progress ended."""
        self.ended.append(attempt)

    def forgive_refusals(self) -> None:
        """Forgets who had no room: the call has waited since, and may ask the same workers again."""
        self.ended = [
            past for past in self.ended if past.outcome is not Outcome.NOT_STARTED or past.reason != Reason.OVERLOADED
        ]

    @property
    def losses(self) -> list[PastAttempt]:
        """Attempts whose worker was lost, oldest first."""
        return [attempt for attempt in self.ended if attempt.outcome in LOSSES]

    def unknown(self) -> list[PastAttempt]:
        """Losses of which it is not known yet whether the worker lives."""
        return [attempt for attempt in self.ended if attempt.outcome is Outcome.LOST]

    def verdict(self, *, sent: bool, resumable: bool) -> Verdict:
        """What follows the last attempt. `sent`: the client has a part of the answer; `resumable`: it can go on."""
        last = self.ended[-1].outcome
        if last is Outcome.FINAL:
            return Verdict.STOP
        if last is Outcome.NOT_STARTED:
            return self._under(self._caps.not_started_max, Outcome.NOT_STARTED, Verdict.GO_ON)
        if sent and not (resumable and last in LOSSES):
            return Verdict.STOP
        if last is Outcome.FAILED:
            return self._under(self._caps.retries_max, Outcome.FAILED, Verdict.RETRY)
        return self._after_loss()

    def _under(self, cap: int, outcome: Outcome, then: Verdict) -> Verdict:
        happened = sum(1 for attempt in self.ended if attempt.outcome is outcome)
        return then if happened <= cap else Verdict.STOP

    def _after_loss(self) -> Verdict:
        losses = self.losses
        if len(losses) > self._caps.evacuations_max:
            return Verdict.STOP
        if len(losses) + self.prior_deaths == 1 or any(loss.outcome in HARMLESS for loss in losses):
            return Verdict.GO_ON
        return Verdict.PROBE if self.unknown() else Verdict.STOP

    def excluded(self, *, also_living: bool) -> tuple[str, ...]:
        """Workers that a new plan leaves out; `also_living` adds those whose connection alone was lost."""
        return tuple(
            {attempt.worker: None for attempt in self.ended if also_living or attempt.outcome is not Outcome.DISCONNECT}
        )
