"""Notices, while calls still run, that a worker is gone, stuck or slow: ten looks a second at all open attempts.

"silent": a worker owes a word for `suspect_seconds` and does not say that it lives. Its breaker opens, and its attempts
are given up, which lets their calls go on elsewhere as after a loss.
"stuck": it lives, and has said nothing for `stuck_seconds` while others of the model answer. The same follows.
"slow-first-token", "slow-tokens": an outlier beside the model's other workers (domain/pace.py). Its breaker opens; what
runs there goes on.
"stalled": one attempt waits beyond the absolute limits. It is given up, and counts as a failure.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.resilience.breaker import State
from services.gateway.domain.flights import Flight, Guard
from services.gateway.domain.pace import PaceRule, first_token_limit, gap_limit, slow_to_begin
from services.gateway.ports.breakers import Lives
from services.gateway.usecases.breakers import Breakers

# Looks between two comparisons of workers.
COMPARE_EVERY = 5
# A look that comes so many intervals late finds sockets that nobody has read: that time is no worker's silence.
LATE = 2.0
# A worker that was asked for so lately is one of those that serve.
USED_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class WatchRule:
    """Times in seconds."""

    look_seconds: float = 0.1
    # A worker that owes a word for so long is asked whether it lives, and has `ask_seconds` to say so.
    suspect_seconds: float = 0.4
    ask_seconds: float = 0.25
    # One that lives may be silent for so long, beside the prefill of what it was sent, while others answer.
    stuck_seconds: float = 2.3
    # Whatever others do: the longest time to first token, beside the prefill, and between two signs of life of a call.
    first_token_seconds: float = 120.0
    gap_seconds: float = 30.0
    # A probe that was watched for so long and is not slow has shown that the worker is well.
    probe_seconds: float = 1.0
    pace: PaceRule = field(default_factory=PaceRule)


class Watchdog:
    """Run `keep` as a task."""

    def __init__(self, breakers: Breakers, lives: Lives, clock: Clock, rule: WatchRule) -> None:
        self._breakers = breakers
        self._lives = lives
        self._clock = clock
        self._rule = rule
        self._looks = 0
        self._looked_at = clock.monotonic()
        self._questions: set[asyncio.Task[None]] = set()

    async def keep(self) -> None:
        """Looks for ever."""
        try:
            while True:
                await self._clock.sleep(self._rule.look_seconds)
                self.look()
        finally:
            for question in self._questions:
                question.cancel()

    def look(self) -> None:
        """One look at everything that is open."""
        now = self._clock.monotonic()
        passed, self._looked_at = now - self._looked_at, now
        late = passed - self._rule.look_seconds
        busy = list(self._breakers.busy)
        if late > LATE * self._rule.look_seconds:
            for guard in busy:
                guard.later(late)
        for guard in busy:
            guard.look(now, passed)
        for guard in busy:
            self._judge(guard, now)
        self._looks += 1
        if self._looks % COMPARE_EVERY == 0:
            self._breakers.turn()
            for guard in busy:
                self._compare(guard, now)

    def _judge(self, guard: Guard, now: float) -> None:
        rule, silent = self._rule, guard.silent_seconds(now)
        if silent >= rule.suspect_seconds and now - guard.asked_at >= rule.suspect_seconds and not guard.asking:
            self._ask(guard, now)
        if silent >= rule.stuck_seconds and self._is_stuck(guard, silent, now):
            self._give_up(guard, now, "stuck", "lives, and has said nothing")
        for flight in list(guard.flights):
            self._judge_one(guard, flight, now)

    def _judge_one(self, guard: Guard, flight: Flight, now: float) -> None:
        rule = self._rule
        limit = rule.gap_seconds if flight.first_at else rule.first_token_seconds + flight.allowance()
        silent = now - flight.progressed_at
        if silent > limit:
            self._breakers.stalled(flight, "stalled", _stall(guard, "has said nothing to this call", silent))

    def _is_stuck(self, guard: Guard, silent: float, now: float) -> bool:
        """Whether no prefill explains its silence, and another worker of the model was heard meanwhile."""
        if guard.patient or silent < self._rule.stuck_seconds + guard.prefill_seconds():
            return False
        since = now - self._rule.stuck_seconds / 2
        return any(other is not guard and other.heard_at > since for other in self._breakers.of_model(guard.model))

    # -- silent: asked whether it lives

    def _ask(self, guard: Guard, now: float) -> None:
        guard.asked_at, guard.asking = now, True
        question = asyncio.get_running_loop().create_task(self._asked(guard, now), name="worker-lives")
        self._questions.add(question)
        question.add_done_callback(self._questions.discard)

    async def _asked(self, guard: Guard, began: float) -> None:
        try:
            lives = await self._lives(guard.address, guard.boot_id)
        finally:
            guard.asking = False
        now = self._clock.monotonic()
        guard.look(now, 0.0)
        # The gateway may have stood still while the answer was out: only a silence that was looked at counts.
        fresh = now - self._looked_at <= LATE * self._rule.look_seconds
        if not lives and guard.heard_at <= began and fresh:
            self._give_up(guard, now, "silent", "does not say that it lives, and has said nothing")

    def _give_up(self, guard: Guard, now: float, cause: str, why: str) -> None:
        guard.breaker.trip(now, cause)
        silent = guard.silent_seconds(now)
        for flight in list(guard.flights):
            if flight.listening:
                self._breakers.stalled(flight, cause, _stall(guard, why, silent))

    # -- slow beside the others

    def _compare(self, guard: Guard, now: float) -> None:
        rule = self._rule.pace
        others = [other for other in self._breakers.of_model(guard.model) if other is not guard]
        firsts = [other.firsts(now, rule) for other in others]
        gaps = gap_limit([other.pace.gap(rule) for other in others], rule)
        if guard.breaker.state is State.HALF_OPEN:
            self._judge_probe(guard, first_token_limit(firsts, rule), gaps, now)
        if guard.breaker.state is not State.CLOSED or _half_are_open(others, now):
            return
        gap = guard.pace.gap(rule)
        if gaps is not None and gap is not None and gap > gaps:
            guard.breaker.trip(now, "slow-tokens")
        elif slow_to_begin(guard.firsts(now, rule), firsts, rule):
            guard.breaker.trip(now, "slow-first-token")

    def _judge_probe(self, guard: Guard, first: float | None, gaps: float | None, now: float) -> None:
        """A long answer's pace tells early; who waits for its end would leave a good worker alone for minutes."""
        probe = next((flight for flight in guard.flights if guard.breaker.probes(flight.permit)), None)
        if probe is None:
            return
        if not probe.first_at:
            if first is not None and now - probe.began_at - probe.allowance() > first:
                guard.breaker.failed(probe.permit, now, "slow-first-token")
        elif now - probe.first_at >= self._rule.probe_seconds:
            if gaps is not None and not guard.patient and probe.gap(now) > gaps:
                guard.breaker.failed(probe.permit, now, "slow-tokens")
            else:
                guard.breaker.succeeded(probe.permit, now)


def _half_are_open(others: list[Guard], now: float) -> bool:
    """Slowness alone never takes more than half of the workers away; `others` are all but the one in question."""
    shut = sum(1 for other in others if other.breaker.state is not State.CLOSED)
    used = sum(
        1
        for other in others
        if other.flights or now - other.used_at < USED_SECONDS or other.breaker.state is not State.CLOSED
    )
    return 2 * (shut + 1) > used + 1


def _stall(guard: Guard, why: str, seconds: float) -> PlatformError:
    return PlatformError(Reason.WORKER_LOST, f"Worker {guard.worker} {why} for {seconds:.1f} s")
