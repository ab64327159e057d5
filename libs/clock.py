"""Time as a port: services take a `Clock`, tests a `FakeClock` (libs.testing.clock)."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Reads time and waits. `sleep` may block its task; nothing else here blocks; none raises."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    def unix(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits; 0 yields once."""
        ...


class SystemClock:
    """The machine's clocks."""

    # No functions of their own: a call reads the time some twenty times.
    monotonic = staticmethod(time.monotonic)
    unix = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        """See Clock."""
        await asyncio.sleep(seconds)
