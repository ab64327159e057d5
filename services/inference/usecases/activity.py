"""What the worker is doing: its running calls, and whether it takes more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from libs.errors import PlatformError, Reason
from services.inference.domain.output.delta import Usage
from services.inference.domain.recent_mean import RecentMean
from services.inference.usecases.sent import CountedCall, SentLog


class Call(CountedCall, Protocol):
    """A running call."""

    @property
    def usage(self) -> Usage:
        """Counts so far."""
        ...

    def cancel(self) -> None:
        """Ends it."""
        ...


class CallObserver(Protocol):
    """Counts calls. Must not block and must not raise."""

    def ended(self, usage: Usage, error: PlatformError | None) -> None:
        """A call that was admitted is over."""
        ...


class Activity:
    """Owns the gate (`draining`, `dead`) and the set of running calls.

    `idle` is set while nothing runs; `steps` counts up with every engine step; `sent` keeps what each call has sent;
    `queue_ms` is how long calls that began lately had waited in the engine.
    """

    def __init__(self, sent: SentLog, observers: tuple[CallObserver, ...] = ()) -> None:
        self.sent = sent
        self._observers = observers
        self._calls: set[Any] = set()
        self._listeners: list[Callable[[], None]] = []
        self.idle = asyncio.Event()
        self.idle.set()
        self.queue_ms = RecentMean()
        self.steps = 0
        self.draining = False
        self.dead = False

    @property
    def running(self) -> int:
        """Calls that are open."""
        return len(self._calls)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls back at once when `draining` or `dead` changes."""
        self._listeners.append(listener)

    def drain(self) -> None:
        """No new work from now on. A repeat does nothing."""
        if not self.draining:
            self.draining = True
            self._tell()

    def die(self) -> None:
        """The engine is gone. A repeat does nothing."""
        if not self.dead:
            self.dead = True
            self._tell()

    def check_open(self) -> None:
        """Raises PlatformError(not started) when no work is taken."""
        if self.draining:
            raise PlatformError(Reason.DRAINING, "this worker is draining: use another one", 0.0, started=False)
        if self.dead:
            raise PlatformError(Reason.ENGINE_DEAD, "the engine has died: use another worker", started=False)

    def opened(self, call: Call) -> None:
        """A call was admitted."""
        self._calls.add(call)
        self.sent.opened(call)
        self.idle.clear()

    def closed(self, call: Call, error: PlatformError | None) -> None:
        """A call is over; one that was never opened is not counted."""
        if call in self._calls:
            self._calls.discard(call)
            self.sent.closed(call)
            if not self._calls:
                self.idle.set()
            for observer in self._observers:
                observer.ended(call.usage, error)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
