"""Leaving without a splash: no new work, what runs may finish within the grace; then it is handed over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.inference.usecases.activity import Activity

_HAND_OVER_SHARE = 0.1  # of the grace, kept for moving what has not finished


class Drain:
    """Closes the gate and waits. `on_begin` tells whoever stops the process of a drain that was asked for by RPC."""

    def __init__(self, activity: Activity) -> None:
        self._activity = activity
        self._listener: Callable[[float, bool], object] | None = None

    def on_begin(self, listener: Callable[[float, bool], object]) -> None:
        """Calls back once with (grace seconds, hand over)."""
        self._listener = listener

    def begin(self, grace_seconds: float, hand_over: bool) -> None:  # noqa: FBT001 - the RPC's fields
        """From now on new work is refused with DRAINING, not started. A repeat changes nothing."""
        listener, self._listener = self._listener, None
        self._activity.drain()
        if listener is not None:
            listener(grace_seconds, hand_over)

    async def finished(self, grace_seconds: float) -> bool:
        """Waits for the running calls; True when all of them have ended, False when it is time to hand over."""
        self._activity.drain()
        try:
            async with asyncio.timeout(grace_seconds * (1 - _HAND_OVER_SHARE)):
                await self._activity.idle.wait()
        except TimeoutError:
            return False
        return True
