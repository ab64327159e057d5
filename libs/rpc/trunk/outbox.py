"""What is waiting to be written: order, splitting and size of messages. Pure; knows no stream and no clock.

Order within a message: Cancel, Credit, Close and trunk frames; then Data; then Open. The order within a call is kept:
a Close whose call still has Data here follows that Data.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from headrace.common.v1.trunk_pb2 import Close, ConnectRequest, ConnectResponse, Frame, Open

from libs.rpc.trunk.limits import TrunkLimits

# Bytes of a frame beside its payload, an upper estimate.
FRAME_OVERHEAD = 32


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
        self._opens: deque[tuple[Frame, bytes]] = deque()
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
        self._pending[call] = self._pending.get(call, 0) + 1
        self.queued_bytes += len(payload)

    def close(self, call: int, status: bytes = b"") -> None:
        """The end of a call, after what it still has here."""
        frame = Frame(call=call, close=Close(status=status))
        if call in self._pending:
            self._closes[call] = frame
        else:
            self._control.append(frame)

    def open(self, call: int, header: Open, payload: bytes) -> None:
        """A new call; a long payload continues in Data frames of later messages."""
        self._opens.append((Frame(call=call, open=header), payload))
        self.queued_bytes += len(payload)

    def forget(self, call: int) -> bool:
        """Drops everything of a call; True when its Open had not been written yet."""
        for entry in [p for p in self._data if p.call == call]:
            self._data.remove(entry)
            self.queued_bytes -= len(entry.data) - entry.sent
        self._pending.pop(call, None)
        self._closes.pop(call, None)
        for item in self._opens:
            if item[0].call == call:
                self._opens.remove(item)
                self.queued_bytes -= len(item[1])
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
        size = self._pop_data(frames, size)
        if size < self._limits.message_bytes:
            self._pop_opens(frames, size)
        self.frames += len(frames)
        self.messages += 1
        return message

    def _pop_data(self, frames: Any, size: int) -> int:
        part, limit = self._limits.part_bytes, self._limits.message_bytes
        held: list[_Payload] = []
        busy: set[int] = set()
        while self._data and size < limit:
            item = self._data.popleft()
            if item.call in busy:
                held.append(item)
                continue
            left = len(item.data) - item.sent
            take = min(left, part)
            if size and size + take + FRAME_OVERHEAD > limit:
                held.append(item)
                break
            last = take == left
            chunk = item.data if last and not item.sent else item.data[item.sent : item.sent + take]
            frames.add(call=item.call, data=chunk, more=not last, end=item.end and last)
            size += take + FRAME_OVERHEAD
            self.queued_bytes -= take
            if last:
                self._delivered(item.call, frames)
            else:
                item.sent += take
                busy.add(item.call)
                held.append(item)
        self._data.extendleft(reversed(held))
        return size

    def _delivered(self, call: int, frames: Any) -> None:
        left = self._pending[call] - 1
        if left:
            self._pending[call] = left
            return
        del self._pending[call]
        frame = self._closes.pop(call, None)
        if frame is not None:
            frames.append(frame)

    def _pop_opens(self, frames: Any, size: int) -> None:
        part, limit = self._limits.part_bytes, self._limits.message_bytes
        while self._opens and (size == 0 or size + min(len(self._opens[0][1]), part) + 256 <= limit):
            frame, payload = self._opens.popleft()
            frame.open.payload = payload[:part]
            rest = payload[part:]
            self.queued_bytes -= len(payload) - len(rest)
            if rest:
                frame.more = True
                self._data.append(_Payload(frame.call, rest, end=True))
                self._pending[frame.call] = 1
            frames.append(frame)
            size += len(frame.open.payload) + 256
