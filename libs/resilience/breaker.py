"""Circuit breaker: closed, open, half-open with one probe, closed again.

The states are Nygard's (Release It!, "Circuit Breaker"); failures in a row and the failure share of a window are those
of Envoy's outlier detection and of resilience4j. Here every call carries a permit, which names the state it was let
through in: what an old call tells of a state that is over is not heard, so that a burst of late failures cannot open
a breaker again that a probe has just closed, and a late success cannot close one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from libs.resilience.rolling import RollingCounts

# No permit: the call must not be sent.
REFUSED = 0


class State(StrEnum):
    """`HALF_OPEN`: the open time is over and one call finds out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When a breaker opens, and for how long. Times in seconds."""

    # Failures without a success between them. Low values open on a coincidence; high values cost as many calls.
    failures_in_a_row: int = 5
    # Or this share of a window's calls, from `calls_min` calls on.
    failure_share: float = 0.5
    calls_min: int = 20
    window_seconds: float = 10.0
    # The first open time; it doubles with every probe that fails, and when a breaker opens again within a window.
    open_seconds: float = 1.0
    open_seconds_max: float = 30.0
    # Every open time is shortened by up to this share, so that gateways do not probe in step.
    jitter: float = 0.25
    # The longest pause that is granted to a peer which asks for one.
    pause_seconds_max: float = 600.0


# Told of every transition: the state after it, and its cause.
Changed = Callable[[State, str], None]


class Breaker:
    """One peer's breaker. Pure: `now` is `Clock.monotonic`, `uniform` gives numbers from 0 to 1. Nothing raises.

    Every permit that is not REFUSED is to be given back once by `succeeded`, `failed` or `released`; repeats, and those
    of a state that is over, change nothing.
    """

    __slots__ = (
        "_changed", "_closed_at", "_counts", "_in_a_row", "_level", "_open_until", "_paused_until", "_permit",
        "_probing", "_rule", "_uniform", "cause", "state",
    )  # fmt: skip

    def __init__(self, rule: BreakerRule, uniform: Callable[[], float], changed: Changed | None = None) -> None:
        self._rule, self._uniform, self._changed = rule, uniform, changed
        self.state = State.CLOSED
        # Why it is not closed.
        self.cause = ""
        self._permit = 1
        self._counts = RollingCounts(rule.window_seconds)
        self._in_a_row = 0
        self._probing = False
        self._open_until = 0.0
        self._paused_until = 0.0
        self._closed_at = float("-inf")
        self._level = 0

    def admit(self, now: float) -> int:
        """A permit for one call, or REFUSED. Once the open time is over one caller gets through: the probe."""
        if self._paused_until and not self._pause_over(now):
            return REFUSED
        if self.state is State.CLOSED:
            return self._permit
        if self._probing or now < self._open_until:
            return REFUSED
        self._permit += 1
        self._probing = True
        if self.state is not State.HALF_OPEN:
            self._turn(State.HALF_OPEN)
        return self._permit

    def refuses(self, now: float) -> str:
        """Why `admit` would refuse: "open", "half-open" (the probe is out) or "paused"; "" = it would not."""
        if self._paused_until and not self._pause_over(now):
            return "paused"
        if self.state is State.CLOSED or (not self._probing and now >= self._open_until):
            return ""
        return "half-open" if self._probing else "open"

    def probes(self, permit: int) -> bool:
        """Whether this permit is that of the probe which is out."""
        return self._probing and permit == self._permit

    def succeeded(self, permit: int, now: float) -> None:
        """The call ended well. That of a probe closes the breaker."""
        if permit != self._permit:
            return
        if self.state is State.CLOSED:
            self._in_a_row = 0
            self._counts.add(now, failed=False)
        elif self._probing:
            self._close(now)

    def failed(self, permit: int, now: float, cause: str) -> None:
        """The peer failed the call. That of a probe opens the breaker for longer."""
        if permit != self._permit:
            return
        if self.state is State.CLOSED:
            self._in_a_row += 1
            self._counts.add(now, failed=True)
            if self._too_many(now):
                self._open(now, cause)
        elif self._probing:
            self._open(now, cause)

    def released(self, permit: int) -> None:
        """The call says nothing of the peer (its caller has gone, it was refused): the next one may probe."""
        if self._probing and permit == self._permit:
            self._probing = False

    def trip(self, now: float, cause: str) -> None:
        """Opens at once: something else than a call's end has shown that the peer is no good."""
        if self.state is not State.OPEN:
            self._open(now, cause)

    def pause(self, now: float, seconds: float) -> None:
        """The peer asks to be left alone for so long (Retry-After). No failure, and no shorter for a later word."""
        until = now + min(max(seconds, 0.0), self._rule.pause_seconds_max)
        self._paused_until = max(self._paused_until, until)

    def resume(self) -> None:
        """Ends a pause early: the peer has room again."""
        self._paused_until = 0.0

    def wait_seconds(self, now: float) -> float:
        """When it is worth asking again: seconds until the pause and the open time are over, 0 = at once."""
        until = self._paused_until if self.state is State.CLOSED else max(self._paused_until, self._open_until)
        if self._probing:
            # If the probe fails, the next one is not before this.
            until = max(until, now + self._rule.open_seconds)
        return max(0.0, until - now)

    def _pause_over(self, now: float) -> bool:
        if now < self._paused_until:
            return False
        self._paused_until = 0.0
        return True

    def _too_many(self, now: float) -> bool:
        rule = self._rule
        if self._in_a_row >= rule.failures_in_a_row:
            return True
        calls, failures = self._counts.totals(now)
        return calls >= rule.calls_min and failures >= rule.failure_share * calls

    def _open(self, now: float, cause: str) -> None:
        lasting = self.state is not State.CLOSED or now - self._closed_at < self._rule.window_seconds
        self._level = self._level + 1 if lasting else 0
        self._open_until = now + self._open_time()
        self._probing = False
        self._permit += 1
        self.cause = cause
        self._turn(State.OPEN)

    def _open_time(self) -> float:
        rule = self._rule
        longest = min(rule.open_seconds_max, rule.open_seconds * 2.0 ** min(self._level, 30))
        return longest * (1.0 - rule.jitter * self._uniform())

    def _close(self, now: float) -> None:
        self._closed_at = now
        self._probing = False
        self._permit += 1
        self._in_a_row = 0
        self._counts.clear()
        self._turn(State.CLOSED)
        self.cause = ""

    def _turn(self, state: State) -> None:
        self.state = state
        if self._changed is not None:
            self._changed(state, self.cause)
