"""Keeps what this worker has sent, so that a call whose gateway was lost can still be charged for what it got.

Nothing is counted per token: a call's own numbers are read when they are asked for, and kept when it ends.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from functools import reduce
from typing import Protocol

from libs.clock import Clock
from services.inference.domain.sent import Sent, merged


class CountedCall(Protocol):
    """A running attempt."""

    @property
    def counted_as(self) -> str:
        """The client's request."""
        ...

    def sent(self) -> Sent:
        """What it has sent so far."""
        ...


class SentLog:
    """Running attempts, and the requests that have ended: `seconds` long, `entries_max` of them."""

    def __init__(self, clock: Clock, *, entries_max: int, seconds: float) -> None:
        self._clock, self._entries_max, self._seconds = clock, entries_max, seconds
        self._whole_since = clock.monotonic()
        self._running: dict[str, list[CountedCall]] = {}
        # By the time of their end, the oldest first.
        self._ended: OrderedDict[str, tuple[float, Sent]] = OrderedDict()

    def opened(self, call: CountedCall) -> None:
        """An attempt was admitted."""
        self._running.setdefault(call.counted_as, []).append(call)

    def closed(self, call: CountedCall) -> None:
        """An attempt that was opened is over, whatever its end."""
        name, sent = call.counted_as, call.sent()
        calls = self._running[name]
        calls.remove(call)
        if not calls:
            del self._running[name]
        before = self._ended.pop(name, None)
        now = self._clock.monotonic()
        self._ended[name] = (now, sent if before is None else merged(before[1], sent))
        self._drop_old(now)

    @property
    def covers_seconds(self) -> float:
        """A request that began at most so long ago and is not known here has never been here."""
        return self._clock.monotonic() - self._whole_since

    def of(self, request_ids: Iterable[str]) -> dict[str, Sent]:
        """What was sent of each of them; those that are not known (any more) are left out."""
        self._drop_old(self._clock.monotonic())
        return {name: sent for name in request_ids if (sent := self._of(name)) is not None}

    def _of(self, name: str) -> Sent | None:
        known = [_running(call) for call in self._running.get(name, ())]
        ended = self._ended.get(name)
        if ended is not None:
            known.append(ended[1])
        return reduce(merged, known) if known else None

    def _drop_old(self, now: float) -> None:
        ended, limit = self._ended, now - self._seconds
        while ended and (len(ended) > self._entries_max or next(iter(ended.values()))[0] < limit):
            _, (self._whole_since, _) = ended.popitem(last=False)


def _running(call: CountedCall) -> Sent:
    sent = call.sent()
    sent.running = True
    return sent
