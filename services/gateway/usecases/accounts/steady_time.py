"""Unix time for expiries: a clock that is set back makes no expired key valid again."""

from __future__ import annotations

from libs.clock import Clock


class SteadyTime:
    """Follows the wall clock forwards; while that is behind, goes on at the pace of the monotonic one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._unix, self._monotonic = clock.unix(), clock.monotonic()

    def now(self) -> float:
        """Unix seconds, never less than what was returned before."""
        unix, monotonic = self._clock.unix(), self._clock.monotonic()
        steady = self._unix + (monotonic - self._monotonic)
        if unix < steady:
            return steady
        self._unix, self._monotonic = unix, monotonic
        return unix
