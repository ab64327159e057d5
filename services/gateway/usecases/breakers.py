"""A breaker per life of a worker, under every model: who may be tried, and what came of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.resilience.breaker import Breaker, BreakerRule, State
from services.gateway.domain.attempts import Outcome
from services.gateway.domain.blame import AT_ONCE, cause_of
from services.gateway.domain.delivered import Delivered
from services.gateway.domain.flights import Flight, Guard
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.pace import PrefillPace
from services.gateway.domain.plan import Candidate
from services.gateway.ports.breakers import BreakerObserver

# What was not used for so long is forgotten: its breaker would let a call through again anyway.
KEPT_SECONDS = 300.0
RETRY_AFTER_SECONDS_MIN = 1.0
# How often a call asks the router again where all workers are left alone: a worker's next life is found so soon.
FOUND_SECONDS = 0.25
# By `Breaker.refuses`, as explain records say it.
WHY = {"open": "breaker-open", "half-open": "half-open", "paused": "retry-after"}
BROKEN = frozenset({"open", "half-open"})
UPSTREAM = "upstream"
# Others name a time, too, and mean the call that they refuse.
ASKS_FOR_A_PAUSE = frozenset({Reason.OVERLOADED, Reason.UPSTREAM_ERROR})


@dataclass(frozen=True, slots=True)
class Refused:
    """Why all of a model's workers are left alone, and when it is worth coming again."""

    seconds: float
    cause: str
    # One of them is no failure: it asked for a pause, and will have room.
    paused: bool


def all_left_alone(name: str, refused: Refused) -> PlatformError:
    """What a caller is told of the model `name`: at once, and when it is worth coming again."""
    when = f"One of them is tried again in {refused.seconds:.0f} s; send the request again then."
    if refused.paused:
        message = f"The workers of model '{name}' are full or asked for a pause, or have failed lately. {when}"
        return PlatformError(Reason.OVERLOADED, message, retry_after_seconds=refused.seconds, started=False)
    message = f"Every worker of model '{name}' has failed lately ({refused.cause}) and is left alone. {when}"
    return PlatformError(Reason.NO_WORKER, message, retry_after_seconds=refused.seconds, started=False)


def _refused(guards: Sequence[Guard], now: float) -> Refused:
    """The soonest of them counts."""
    if not guards:
        return Refused(RETRY_AFTER_SECONDS_MIN, "", paused=False)
    seconds, soonest = min([(guard.breaker.wait_seconds(now), guard) for guard in guards], key=lambda wait: wait[0])
    paused = any(guard.breaker.refuses(now) == "paused" for guard in guards)
    return Refused(max(seconds, RETRY_AFTER_SECONDS_MIN), soonest.breaker.cause, paused)


class Breakers:
    """All breakers of the process. Used on the event loop only; nothing blocks or raises."""

    def __init__(
        self,
        clock: Clock,
        rule: BreakerRule,
        observer: BreakerObserver | None = None,
        *,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        """`uniform` gives numbers from 0 to 1, for the jitter."""
        self._now = clock.monotonic
        self._rule = rule
        self._observer = observer
        self._uniform = uniform
        self._guards: dict[tuple[str, str, str], Guard] = {}
        self._prefills: dict[str, PrefillPace] = {}
        # By name, for names that share a model have workers of their own: all of them, when a call has just found them
        # left alone, and until when that is believed.
        self._found: dict[str, tuple[float, tuple[Guard, ...]]] = {}
        # Those with open attempts, for the watchdog.
        self.busy: dict[Guard, None] = {}

    def check(self, info: ModelInfo) -> None:
        """Raises NO_WORKER when a call has just found every worker of the model left alone, and they still are.

        Before anything is spent on this call. Now and then one goes all the way: there may be other workers by then.
        """
        found = self._found.get(info.name)
        if found is None:
            return
        (until, guards), now = found, self._now()
        if now >= until or not all(guard.breaker.refuses(now) in BROKEN for guard in guards):
            return
        for guard in guards:
            self.skipped(WHY[guard.breaker.refuses(now)])
        raise all_left_alone(info.name, _refused(guards, now))

    def admit(self, info: ModelInfo, candidate: Candidate) -> Flight | None:
        """An attempt that may be made, to be `opened` or given `back`; None = the worker is left alone."""
        guard = self._guards.get((info.model, candidate.worker, candidate.boot_id)) or self._made(info, candidate)
        guard.used_at = now = self._now()
        permit = guard.breaker.admit(now)
        return Flight(guard, candidate, permit) if permit else None

    def why(self, info: ModelInfo, candidate: Candidate) -> str:
        """Why `admit` would refuse, as explain records say it; "" = it would not."""
        guard = self._guards.get((info.model, candidate.worker, candidate.boot_id))
        return WHY.get(guard.breaker.refuses(self._now()), "") if guard else ""

    def skipped(self, why: str) -> None:
        """A call left a worker out."""
        if self._observer is not None:
            self._observer.skipped(why)

    def back(self, flight: Flight) -> None:
        """The attempt is not made."""
        flight.guard.breaker.released(flight.permit)

    def opened(self, flight: Flight, delivered: Delivered, cancel: Callable[[], None], uncached_tokens: int) -> None:
        """The attempt is on its way; see Flight.opened."""
        guard = flight.guard
        flight.opened(delivered, cancel, uncached_tokens, self._now())
        if not guard.flights:
            # Nobody owed a word before.
            guard.heard_at = flight.began_at
            self.busy[guard] = None
        guard.flights[flight] = None

    def ended(self, flight: Flight, *, whole: bool) -> None:
        """The attempt ended without an error of its worker; not `whole` = its caller has gone, which says nothing."""
        if not self._landed(flight):
            return
        guard = flight.guard
        if whole:
            guard.breaker.succeeded(flight.permit, self._now())
        else:
            guard.breaker.released(flight.permit)
        if not guard.patient:
            # What asked for a pause because it was full has a free place.
            guard.breaker.resume()

    def failed(self, flight: Flight, outcome: Outcome, error: PlatformError) -> None:
        """The attempt ended with `error`."""
        if not self._landed(flight):
            return
        breaker, now = flight.guard.breaker, self._now()
        if error.reason in ASKS_FOR_A_PAUSE and not error.started and error.retry_after_seconds:
            breaker.pause(now, error.retry_after_seconds)
        cause = cause_of(outcome, error)
        if cause in AT_ONCE:
            breaker.trip(now, cause)
        elif cause:
            breaker.failed(flight.permit, now, cause)
        else:
            breaker.released(flight.permit)

    def stalled(self, flight: Flight, cause: str, error: PlatformError) -> None:
        """Gives up an attempt that says nothing: its stream ends with an error, for which `error` stands in."""
        if flight.stalled is None:
            flight.stalled, flight.stall_cause = error, cause
            flight.cancel()
            if self._observer is not None:
                self._observer.stalled(cause)

    def all_refused(self, info: ModelInfo, candidates: Iterable[Candidate], *, all_of_them: bool) -> PlatformError:
        """What is to be told when nobody is left but these, who are left alone; `all_of_them`: there are no others."""
        now = self._now()
        keys = [(info.model, candidate.worker, candidate.boot_id) for candidate in candidates]
        guards = tuple([guard for guard in map(self._guards.get, keys) if guard is not None])
        if all_of_them:
            self._found[info.name] = (now + FOUND_SECONDS, guards)
        return all_left_alone(info.name, _refused(guards, now))

    def of_model(self, model: str) -> list[Guard]:
        """All workers that are known under a model."""
        return [guard for guard in self._guards.values() if guard.model == model]

    def turn(self) -> None:
        """Brings measured paces up to date, and forgets who was not used for long."""
        for prefill in self._prefills.values():
            prefill.turn()
        oldest = self._now() - KEPT_SECONDS
        for key, guard in list(self._guards.items()):
            guard.pace.turn()
            if guard.used_at < oldest and not guard.flights:
                del self._guards[key]
                self._forget(guard)

    def _forget(self, guard: Guard) -> None:
        another_life = any(other.worker == guard.worker for other in self.of_model(guard.model))
        if self._observer is not None and not another_life:
            self._observer.forgotten(guard.model, guard.worker)

    def _landed(self, flight: Flight) -> bool:
        """Takes the attempt off its worker; False when that was done before."""
        guard = flight.guard
        if guard.flights.pop(flight, flight) is not None:
            return False
        if not guard.flights:
            self.busy.pop(guard, None)
        return True

    def _made(self, info: ModelInfo, candidate: Candidate) -> Guard:
        model, worker, _ = key = (info.model, candidate.worker, candidate.boot_id)
        prefill = self._prefills.setdefault(model, PrefillPace())

        def changed(state: State, cause: str) -> None:
            if self._observer is not None:
                self._observer.changed(model, worker, state.value, cause)

        breaker = Breaker(self._rule, self._uniform, changed)
        guard = Guard(key, candidate.address, breaker, prefill, patient=info.engine == UPSTREAM)
        self._guards[key] = guard
        return guard
