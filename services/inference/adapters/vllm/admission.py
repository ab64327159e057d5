"""The bounded queue: what may still enter, and when to come back."""

from __future__ import annotations

from dataclasses import dataclass

from libs.errors import PlatformError, Reason

_RETRY_MIN_SECONDS = 1.0
_RETRY_MAX_SECONDS = 30.0


@dataclass(slots=True)
class Admission:
    """Counts choices in the engine. `mean_seconds` follows how long a choice takes, for the retry hint."""

    running_max: int
    waiting_max: int
    active: int = 0
    mean_seconds: float = 1.0

    def enter(self, choices: int) -> None:
        """Takes places for a request. Raises PlatformError(OVERLOADED, not started) when they are not there."""
        if choices > self.running_max + self.waiting_max:
            raise PlatformError(
                Reason.INVALID_REQUEST,
                f"n={choices} is more than this worker ever takes at once ({self.running_max + self.waiting_max}):"
                " ask for fewer choices",
                started=False,
                param="n",
            )
        if self.active + choices > self.running_max + self.waiting_max:
            raise PlatformError(
                Reason.OVERLOADED,
                f"the worker runs {min(self.active, self.running_max)} requests and its queue of {self.waiting_max} is"
                " full: try another worker, or again later",
                retry_after_seconds=self.retry_after(),
                started=False,
            )
        self.active += choices

    def leave(self, seconds: float | None = None) -> None:
        """Gives one place back; `seconds` is how long the choice took, None when it did not finish by itself."""
        self.active -= 1
        if seconds is not None:
            self.mean_seconds += 0.1 * (seconds - self.mean_seconds)

    def retry_after(self) -> float:
        """Seconds until about half of the queue has moved on."""
        turns = 0.5 * self.waiting_max / self.running_max + 0.5
        return round(min(_RETRY_MAX_SECONDS, max(_RETRY_MIN_SECONDS, turns * self.mean_seconds)), 1)
