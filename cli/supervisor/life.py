"""The life of one supervised process, as a pure state machine driven by a clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from cli.config import Restarts

# Exit status of a service that refuses its settings (libs.settings): trying again cannot help.
EXIT_BAD_SETTINGS = 2


class State(StrEnum):
    """Where a process stands."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    NOT_SERVING = "not_serving"
    BACKOFF = "backoff"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass
class Life:
    """Says after each event what to do next. All times are `Clock.monotonic` seconds."""

    rules: Restarts = field(default_factory=Restarts)
    state: State = State.WAITING
    since: float = 0.0
    restarts: int = 0
    answered_once: bool = False
    _deaths: deque[float] = field(default_factory=deque)
    _failures_in_a_row: int = 0

    def started(self, now: float) -> None:
        """A process was spawned."""
        self._move(State.STARTING, now)

    def probed(self, now: float, *, serving: bool) -> None:
        """Its health was asked. A process that has served and does not now is not the same as one that starts."""
        if self.state not in (State.STARTING, State.READY, State.NOT_SERVING):
            return
        if serving:
            self.answered_once = True
            self._failures_in_a_row = 0
            self._move(State.READY, now)
        elif self.state is State.READY:
            self._move(State.NOT_SERVING, now)

    def hangs(self, now: float) -> bool:
        """True when it has not served for so long that only a new start can help."""
        return self.state is State.NOT_SERVING and now - self.since >= self.rules.not_serving_seconds

    def died(self, now: float, code: int) -> float | None:
        """Seconds to wait before the next start; None = it stays down (failed, or it was meant to stop)."""
        if self.state is State.STOPPING:
            self._move(State.STOPPED, now)
            return None
        if self._too_often(now) or code == EXIT_BAD_SETTINGS:
            self._move(State.FAILED, now)
            return None
        delay = min(self.rules.backoff_seconds_max, self.rules.backoff_seconds_min * 2.0**self._failures_in_a_row)
        self._failures_in_a_row += 1
        self.restarts += 1
        self._move(State.BACKOFF, now)
        return delay

    def stop(self, now: float) -> None:
        """It is being stopped on purpose: its end is no death."""
        running = self.state in (State.STARTING, State.READY, State.NOT_SERVING)
        if self.state is not State.FAILED:
            self._move(State.STOPPING if running else State.STOPPED, now)

    def _too_often(self, now: float) -> bool:
        self._deaths.append(now)
        while self._deaths[0] <= now - self.rules.window_seconds:
            self._deaths.popleft()
        return len(self._deaths) >= self.rules.deaths_max

    def _move(self, state: State, now: float) -> None:
        if state is not self.state:
            self.state, self.since = state, now
