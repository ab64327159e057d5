"""Open attempts and the workers they run on, as the watchdog sees them: who was heard last, and when.

Nothing here is done per token. What a stream has got shows in its account (`Delivered.room`), which the fast way of a
delta keeps anyway; the watchdog compares it between two looks.
"""

from __future__ import annotations

from collections.abc import Callable

from libs.errors import PlatformError
from libs.resilience.breaker import Breaker, State
from services.gateway.domain.delivered import Delivered
from services.gateway.domain.pace import PREFILL_TOKENS_MIN, PaceRule, PrefillPace, WorkerPace
from services.gateway.domain.plan import Candidate


class Flight:
    """One attempt, from its permit to its end. Times are `Clock.monotonic` seconds.

    `first_at` 0 = it has given nothing yet. `listening`: the gateway waits for the worker. Else the gateway, or its
    client, is what holds the stream up.
    """

    __slots__ = (
        "_room", "began_at", "cancel", "candidate", "delivered", "first_at", "first_tokens", "guard", "heard",
        "listening", "permit", "progressed_at", "seen", "stall_cause", "stalled", "uncached_tokens",
    )  # fmt: skip

    def __init__(self, guard: Guard, candidate: Candidate, permit: int) -> None:
        self.guard, self.candidate, self.permit = guard, candidate, permit
        # Batches that came the ordinary way, and how many of them the watchdog has seen.
        self.heard = self.seen = 0
        self.first_at = 0.0
        self.first_tokens = 0
        self.listening = True
        # What the watchdog gave it up with, and why ("silent", "stuck", "stalled").
        self.stalled: PlatformError | None = None
        self.stall_cause = ""
        self.delivered: Delivered
        self.cancel: Callable[[], None]

    def opened(self, delivered: Delivered, cancel: Callable[[], None], uncached_tokens: int, now: float) -> None:
        """It is on its way; `delivered` is its account, `uncached_tokens` what its prefill has to compute."""
        self.delivered, self.cancel, self.uncached_tokens = delivered, cancel, uncached_tokens
        self._room = delivered.room
        self.began_at = self.progressed_at = now

    def began(self, now: float) -> None:
        """The first delta is here. Hot: once per attempt."""
        guard, uncached, seconds = self.guard, self.uncached_tokens, now - self.began_at
        self.first_at = now
        if uncached >= PREFILL_TOKENS_MIN:
            guard.prefill.first_token(seconds, uncached)
        guard.pace.firsts.append((now, seconds - uncached * guard.prefill.seconds_per_token))
        if guard.breaker.state is not State.CLOSED:
            self.first_tokens = self.delivered.tokens
        if not guard.patient:
            guard.breaker.resume()

    def allowance(self) -> float:
        """Seconds that the prefill of what the cache does not hold is expected to take."""
        return self.uncached_tokens * self.guard.prefill.seconds_per_token

    def look(self, now: float) -> int:
        """Tokens since the last look; notes whether anything came at all."""
        room = self.delivered.room
        if not self.listening:
            self.progressed_at = now
        if room == self._room and self.heard == self.seen:
            return 0
        tokens, self._room, self.seen = self._room - room, room, self.heard
        self.progressed_at = self.guard.heard_at = now
        # Room that was made meanwhile makes it negative: those tokens are not counted.
        return max(0, tokens)

    def gap(self, now: float) -> float:
        """Mean seconds between its tokens so far."""
        return (now - self.first_at) / max(1, self.delivered.tokens - self.first_tokens)


class Guard:
    """One life of a worker under one model: its breaker, its open attempts, its pace."""

    __slots__ = (
        "address", "asked_at", "asking", "boot_id", "breaker", "flights", "heard_at", "model", "pace", "patient",
        "prefill", "used_at", "worker",
    )  # fmt: skip

    def __init__(
        self, names: tuple[str, str, str], address: str, breaker: Breaker, prefill: PrefillPace, *, patient: bool
    ) -> None:
        """`names`: model, worker, boot id. `patient`: the engine is somebody else's API, whose silence is normal."""
        self.model, self.worker, self.boot_id = names
        self.address = address
        self.breaker = breaker
        self.prefill = prefill
        self.patient = patient
        self.pace = WorkerPace()
        self.flights: dict[Flight, None] = {}
        self.heard_at = self.used_at = 0.0
        # When it was last asked whether it lives, and whether the answer is still out.
        self.asked_at = float("-inf")
        self.asking = False

    def look(self, now: float, passed: float) -> None:
        """Looks at every open attempt; `passed` seconds since the last look."""
        seconds, tokens = 0.0, 0
        for flight in self.flights:
            tokens += flight.look(now)
            if flight.first_at and flight.listening:
                seconds += min(passed, now - flight.first_at)
        if seconds and not self.patient:
            self.pace.decoded(seconds, tokens)

    def silent_seconds(self, now: float) -> float:
        """How long it has owed a word on some attempt without a word on any."""
        owing = min((flight.progressed_at for flight in self.flights), default=now)
        return now - max(owing, self.heard_at)

    def prefill_seconds(self) -> float:
        """What the prompts that have no first token yet are expected to take it."""
        return sum(flight.allowance() for flight in self.flights if not flight.first_at)

    def firsts(self, now: float, rule: PaceRule) -> list[float]:
        """Recent times to first token, and those so far of attempts that have waited for long; a short wait is none."""
        waits = [now - flight.began_at - flight.allowance() for flight in self.flights if not flight.first_at]
        return self.pace.recent(now, rule) + [wait for wait in waits if wait > rule.first_token_seconds]

    def later(self, seconds: float) -> None:
        """The gateway itself stood still for so long: that time counts for no worker."""
        self.heard_at += seconds
        for flight in self.flights:
            flight.progressed_at += seconds
            flight.began_at += seconds
