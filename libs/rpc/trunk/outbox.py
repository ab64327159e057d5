"""What is waiting to be written: order, splitting and size of messages. Pure; knows no stream and no clock.

Order within a message: Cancel, Credit, Close and trunk frames; then Data; then Open. The order within a call is kept:
a Close whose call still has Data here follows that Data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
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


# A payload on its way: its call, its bytes, whether the call ends well with it, and how many bytes of it are in earlier
# messages. A bare tuple: there is one for every token that leaves.
_Payload = tuple[int, bytes, bool, int]


class Outbox:
    """Frames in three lanes. `pop` builds the next message, None when nothing waits."""

    def __init__(self, limits: TrunkLimits) -> None:
        self._limits = limits
        self._control: deque[Frame] = deque()
        self._data: deque[_Payload] = deque()
        self._opens: deque[Opening] = deque()
        # Payloads waiting per call, and the status with which a call ends after them.
        self._pending: dict[int, int] = {}
        self._closes: dict[int, bytes] = {}
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
        self._data.append((call, payload, end, 0))
        pending = self._pending
        pending[call] = pending[call] + 1 if call in pending else 1
        self.queued_bytes += len(payload)

    def close(self, call: int, status: bytes = b"") -> None:
        """The end of a call, after what it still has here: a good one goes as a flag on the last of that."""
        if call in self._pending:
            self._closes[call] = status
        else:
            self._control.append(_closing(call, status))

    def open(self, opening: Opening) -> None:
        """A new call; a long payload continues in Data frames of later messages."""
        self._opens.append(opening)
        self.queued_bytes += len(opening.payload)

    def forget(self, call: int) -> bool:
        """Drops everything of a call; True when its Open had not been written yet."""
        for entry in [payload for payload in self._data if payload[0] == call]:
            self._data.remove(entry)
            self.queued_bytes -= len(entry[1]) - entry[3]
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
        queued, limits = self.queued_bytes, self._limits
        # As it nearly always is: no payload can be too long for one part, and all of them fit.
        if queued <= limits.part_bytes and size + queued + FRAME_OVERHEAD * len(self._data) <= limits.message_bytes:
            return size + self._pop_all_data(frames)
        return self._pop_some_data(frames, size)

    def _pop_all_data(self, frames: Any) -> int:
        add, ends, size = frames.add, self._closes, 0
        for call, data, end, sent in self._data:
            frame = add(call=call, data=data[sent:] if sent else data)
            size += len(data) - sent
            if end:
                frame.end = True
            if ends and call in ends:
                self._delivered(call, frame, frames)
        self.queued_bytes -= size
        size += FRAME_OVERHEAD * len(self._data)
        self._data.clear()
        self._pending.clear()
        return size

    def _pop_some_data(self, frames: Any, size: int) -> int:
        part, limit = self._limits.part_bytes, self._limits.message_bytes
        data, add = self._data, frames.add
        held: list[_Payload] = []
        # Calls with a part in this message: what else they have here waits for the next one.
        busy: set[int] = set()
        while data and size < limit:
            item = data.popleft()
            call, payload, end, sent = item
            if busy and call in busy:
                held.append(item)
                continue
            left = len(payload) - sent
            if size and size + min(left, part) + FRAME_OVERHEAD > limit:
                held.append(item)
                break
            if left > part:
                add(call=call, data=payload[sent : sent + part], more=True)
                self.queued_bytes -= part
                size += part + FRAME_OVERHEAD
                busy.add(call)
                held.append((call, payload, end, sent + part))
                continue
            frame = add(call=call, data=payload[sent:] if sent else payload)
            if end:
                frame.end = True
            size += left + FRAME_OVERHEAD
            self.queued_bytes -= left
            self._delivered(call, frame, frames)
        if held:
            data.extendleft(reversed(held))
        return size

    def _delivered(self, call: int, frame: Frame, frames: Any) -> None:
        """A payload is in the message as `frame`. If it was its call's last, the end that waited for it follows."""
        left = self._pending[call] - 1
        if left:
            self._pending[call] = left
            return
        del self._pending[call]
        status = self._closes.pop(call, None)
        if status:
            frames.append(_closing(call, status))
        elif status is not None:
            frame.end = True

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
            self._data.append((opening.call, payload[part:], True, 0))
            self._pending[opening.call] = 1


def _closing(call: int, status: bytes) -> Frame:
    return Frame(call=call, close=Close(status=status))
