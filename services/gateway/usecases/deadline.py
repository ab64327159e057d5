"""Time that is left: every hop gets what the caller gave, minus a margin for the way back."""

from __future__ import annotations

from dataclasses import dataclass

from libs.clock import Clock
from libs.errors import PlatformError, Reason


@dataclass(slots=True)
class Deadline:
    """A moment in `Clock.monotonic` seconds."""

    clock: Clock
    at: float
    margin_seconds: float

    def left(self, at_most: float | None = None) -> float:
        """Seconds for the next hop, capped. Raises DEADLINE_EXCEEDED when none are left."""
        left = self.at - self.clock.monotonic() - self.margin_seconds
        if left <= 0:
            message = "The time given for this call is used up. Give it more time, or ask for a shorter answer."
            raise PlatformError(Reason.DEADLINE_EXCEEDED, message)
        return left if at_most is None or left < at_most else at_most
