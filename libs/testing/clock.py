"""A clock that tests move."""

from __future__ import annotations

import asyncio

from libs.testing.loop import VirtualLoop


class FakeClock:
    """Implements `libs.clock.Clock`. `advance` moves it and wakes the sleepers whose time has come.

    On the virtual loop of `libs.testing.loop.run` it also moves with the loop, so sleepers wake without `advance`;
    elsewhere it stands still until told.
    """

    def __init__(self, monotonic: float = 1_000.0, unix: float = 1_700_000_000.0) -> None:
        self._monotonic = monotonic
        self._unix = unix
        self._advanced = 0.0
        self._sleepers: set[asyncio.Event] = set()

    def monotonic(self) -> float:
        """See Clock."""
        return self._monotonic + self._elapsed()

    def unix(self) -> float:
        """See Clock."""
        return self._unix + self._elapsed()

    async def sleep(self, seconds: float) -> None:
        """See Clock."""
        wake_at = self.monotonic() + seconds
        await asyncio.sleep(0)
        while self.monotonic() < wake_at:
            await self._woken(wake_at - self.monotonic())

    def advance(self, seconds: float) -> None:
        """Moves time on; sleepers run in the loop's next turn."""
        self._advanced += seconds
        for sleeper in self._sleepers:
            sleeper.set()

    def _elapsed(self) -> float:
        loop = _virtual_loop()
        return self._advanced + (loop.time() if loop else 0.0)

    async def _woken(self, seconds: float) -> None:
        woken = asyncio.Event()
        self._sleepers.add(woken)
        loop = _virtual_loop()
        # An ulp more than asked: float sums must not end a hair before the time and sleep again for nothing.
        timer = loop.call_later(seconds + 1e-9, woken.set) if loop else None
        try:
            await woken.wait()
        finally:
            self._sleepers.discard(woken)
            if timer:
                timer.cancel()


def _virtual_loop() -> VirtualLoop | None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop if isinstance(loop, VirtualLoop) else None
