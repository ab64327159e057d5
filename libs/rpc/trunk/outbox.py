"""What is waiting to be written: order, splitting and size of messages. Pure; knows no stream and no clock.

Order within a message: Cancel, Credit, Close and trunk frames; then Data; then Open. The order within a call is kept:
a Close whose call still has Data here follows that Data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from headrace.common.v1.trunk_pb2 import Close, ConnectRequest, ConnectResponse, Frame

from libs.rpc.trunk.limits import TrunkLimits

# Bytes of a frame beside its payload, and of an Open beside payload and metadata: upper estimates.
FRAME_OVERHEAD = 32
OPEN_OVERHEAD = 256


class Opening(NamedTuple):
    """A new call; becomes an Open frame only when it is written, in place: building one first costs a copy."""

    call: int
    method: str
    credit: int
    timeout_ms: int
    metadata: Mapping[str, str]
    payload: bytes

    def write(self, frames: Any, part: bytes) -> Any:
        """Adds the frame with the first part of the payload."""
        frame = frames.add(call=self.call)
        header = frame.open
        header.method, header.payload, header.timeout_ms = self.method, part, self.timeout_ms
        if self.credit:
            header.credit = self.credit
        metadata = header.metadata
        for key, value in self.metadata.items():
            metadata[key] = value
        return frame

    @property
    def overhead(self) -> int:
        """Bytes beside the payload."""
        return OPEN_OVERHEAD + 4 * sum(map(len, self.metadata.values()))


@dataclass(slots=True)
class _Payload:
    """A payload on its way: `sent` bytes of it are in earlier messages."""

    call: int
    data: bytes
    end: bool
    sent: int = 0


class Outbox:
    """Frames in three lanes. `pop` builds the next message, None when nothing waits."""

    def __init__(self, limits: TrunkLimits) -> None:
        self._limits = limits
        self._control: deque[Frame] = deque()
        self._data: deque[_Payload] = deque()
        self._opens: deque[Opening] = deque()
        # Payloads waiting per call, and the Close that must follow them.
        self._pending: dict[int, int] = {}
        self._closes: dict[int, Frame] = {}
        self.queued_bytes = 0
        self.frames = 0
        self.messages = 0

    def __bool__(self) -> bool:
        return bool(self._control or self._data or self._opens)

    def control(self, frame: Frame) -> None:
        """Cancel, Credit, Ping, Hello, GoAway."""
        self._control.append(frame)

    def data(self, call: int, payload: bytes, *, end: bool = False) -> None:
        """A response message; `end` = the call ends well with it."""
        self._data.append(_Payload(call, payload, end))
        pending = self._pending
        pending[call] = pending.get(call, 0) + 1
        self.queued_bytes += len(payload)

    def close(self, call: int, status: bytes = b"") -> None:
        """The end of a call, after what it still has here."""
        frame = Frame(call=call, close=Close(status=status))
        if call in self._pending:
            self._closes[call] = frame
        else:
            self._control.append(frame)

    def open(self, opening: Opening) -> None:
        """A new call; a long payload continues in Data frames of later messages."""
        self._opens.append(opening)
        self.queued_bytes += len(opening.payload)

    def forget(self, call: int) -> bool:
        """Drops everything of a call; True when its Open had not been written yet."""
        for entry in [p for p in self._data if p.call == call]:
            self._data.remove(entry)
            self.queued_bytes -= len(entry.data) - entry.sent
        self._pending.pop(call, None)
        self._closes.pop(call, None)
        for item in self._opens:
            if item.call == call:
                self._opens.remove(item)
                self.queued_bytes -= len(item.payload)
                return True
        return False

    def pop(self, kind: type[ConnectRequest | ConnectResponse]) -> ConnectRequest | ConnectResponse | None:
        """The next message; empty lanes give None."""
        if not self:
            return None
        message = kind()
        frames: Any = message.frames
        size = 0
        while self._control and size < self._limits.message_bytes:
            frame = self._control.popleft()
            frames.append(frame)
            size += frame.ByteSize() + 4
        if self._data:
            size = self._pop_data(frames, size)
        if self._opens and size < self._limits.message_bytes:
            self._pop_opens(frames, size)
        self.frames += len(frames)
        self.messages += 1
        return message

    def _pop_data(self, frames: Any, size: int) -> int:
        part, limit = self._limits.part_bytes, self._limits.message_bytes
        data, add, delivered = self._data, frames.add, self._delivered
        held: list[_Payload] = []
        # Calls with a part in this message: what else they have here waits for the next one.
        busy: set[int] = set()
        while data and size < limit:
            item = data.popleft()
            call = item.call
            if busy and call in busy:
                held.append(item)
                continue
            left = len(item.data) - item.sent
            if size and size + min(left, part) + FRAME_OVERHEAD > limit:
                held.append(item)
                break
            if left > part:
                add(call=call, data=item.data[item.sent : item.sent + part], more=True)
                item.sent += part
                self.queued_bytes -= part
                size += part + FRAME_OVERHEAD
                busy.add(call)
                held.append(item)
                continue
            frame = add(call=call, data=item.data[item.sent :] if item.sent else item.data)
            if item.end:
                frame.end = True
            size += left + FRAME_OVERHEAD
            self.queued_bytes -= left
            delivered(call, frames)
        if held:
            data.extendleft(reversed(held))
        return size

    def _delivered(self, call: int, frames: Any) -> None:
        left = self._pending[call] - 1
        if left:
            self._pending[call] = left
            return
        del self._pending[call]
        if self._closes and call in self._closes:
            frames.append(self._closes.pop(call))

    def _pop_opens(self, frames: Any, size: int) -> None:
        part, limit = self._limits.part_bytes, self._limits.message_bytes
        opens = self._opens
        while opens:
            opening = opens[0]
            payload = opening.payload
            cost = min(len(payload), part) + opening.overhead
            if size and size + cost > limit:
                return
            opens.popleft()
            size += cost
            if len(payload) <= part:
                opening.write(frames, payload)
                self.queued_bytes -= len(payload)
                continue
            opening.write(frames, payload[:part]).more = True
            self.queued_bytes -= part
            self._data.append(_Payload(opening.call, payload[part:], end=True))
            self._pending[opening.call] = 1
