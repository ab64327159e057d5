"""Waiting for a store that is away: nothing could be done elsewhere meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from libs.clock import Clock
from libs.errors import PlatformError, Reason

T = TypeVar("T")
PAUSE_SECONDS = 0.1
PAUSE_SECONDS_MAX = 2.0


async def patiently(call: Callable[[], Awaitable[T]], clock: Clock, uniform: Callable[[], float]) -> T:
    """What `call` returns once the store answers, or raises for any other reason. `uniform` gives numbers in [0, 1)."""
    pause = PAUSE_SECONDS
    while True:
        try:
            return await call()
        except PlatformError as error:
            if error.reason is not Reason.STORE_UNAVAILABLE:
                raise
        await clock.sleep(pause * (0.5 + uniform()))
        pause = min(2 * pause, PAUSE_SECONDS_MAX)
