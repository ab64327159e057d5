"""What a trunk's moment looks like, and the list of a process's live trunks, for metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from libs.rpc.trunk.link import Link

Side = Literal["dialling", "accepting"]


@dataclass(frozen=True, slots=True)
class TrunkGauges:
    """A moment of a trunk. `frames` and `messages` count what was written since it began."""

    connected: bool
    open_calls: int
    queued_bytes: int = 0
    write_stall_seconds: float = 0.0
    loop_lag_seconds: float = 0.0
    frames: int = 0
    messages: int = 0


def gauges_of(link: Link | None, open_calls: int) -> TrunkGauges:
    """The gauges of a link; None = not connected."""
    if link is None:
        return TrunkGauges(connected=False, open_calls=open_calls)
    return TrunkGauges(
        connected=True,
        open_calls=open_calls,
        queued_bytes=link.outbox.queued_bytes,
        write_stall_seconds=link.write_stall_seconds,
        loop_lag_seconds=link.lag_seconds,
        frames=link.outbox.frames,
        messages=link.outbox.messages,
    )


class Trunks:
    """The live trunks of a process. Its composition root hands it to servers and channels, which enter their trunks."""

    def __init__(self) -> None:
        self._live: dict[object, tuple[Side, Callable[[], TrunkGauges]]] = {}

    @contextmanager
    def entered(self, side: Side, read: Callable[[], TrunkGauges]) -> Iterator[None]:
        """Lists a trunk for as long as it lives."""
        key = object()
        self._live[key] = (side, read)
        try:
            yield
        finally:
            del self._live[key]

    def moments(self, side: Side) -> list[TrunkGauges]:
        """Each live trunk's gauges; may be called from another thread."""
        return [read() for found, read in list(self._live.values()) if found == side]
