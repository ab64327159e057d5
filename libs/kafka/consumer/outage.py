"""Something that is away: told once when it goes and once when it is back, and tried less and less often."""

from __future__ import annotations

from collections.abc import Iterator

from libs.telemetry import get_logger

_log = get_logger("consumer")


class Outage:
    """`what` is away or back, in the log; `names` go with each line."""

    def __init__(self, what: str, **names: str) -> None:
        self._what, self._names = what, names
        self._failures = 0

    @property
    def on(self) -> bool:
        """Whether it is away."""
        return self._failures > 0

    def failed(self, error: Exception) -> None:
        """It failed."""
        if not self._failures:
            _log.warning(f"{self._what} away", why=str(error), **self._names)
        self._failures += 1

    def worked(self) -> None:
        """It answered."""
        if self._failures:
            _log.info(f"{self._what} back", failures=self._failures, **self._names)
            self._failures = 0


def pauses(seconds_min: float, seconds_max: float) -> Iterator[float]:
    """How long to wait before the next try, and the next: twice as long each time, up to the most."""
    seconds = seconds_min
    while True:
        yield seconds
        seconds = min(seconds * 2, seconds_max)
