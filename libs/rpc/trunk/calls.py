"""State of single calls, free of I/O: joining parts, and credit."""

from __future__ import annotations

from libs.errors import PlatformError, Reason


class Assembly:
    """Joins the parts of one payload. Raises PlatformError when it grows past `bytes_max`."""

    __slots__ = ("_bytes_max", "_parts", "_size")

    def __init__(self, bytes_max: int) -> None:
        self._parts: list[bytes] = []
        self._size, self._bytes_max = 0, bytes_max

    def feed(self, part: bytes, *, more: bool) -> bytes | None:
        """The whole payload once its last part is here, else None."""
        if not more and not self._parts:
            return part
        self._size += len(part)
        if self._size > self._bytes_max:
            message = f"a message of the call is larger than {self._bytes_max} bytes; send less in one message"
            raise PlatformError(Reason.PAYLOAD_TOO_LARGE, message)
        self._parts.append(part)
        if more:
            return None
        whole = b"".join(self._parts)
        self._parts, self._size = [], 0
        return whole


class Window:
    """What a sender may still send. A message is sent whole while any credit is left; the debt is paid first."""

    __slots__ = ("left",)

    def __init__(self, credit: int) -> None:
        self.left = credit

    def spend(self, size: int) -> bool:
        """Takes credit for a message; False when there is none left."""
        if self.left <= 0:
            return False
        self.left -= size
        return True

    def grant(self, credit: int) -> None:
        """The receiver took that much."""
        self.left += credit


class Consumed:
    """What a receiver has taken and not granted back yet: credit returns in halves of the window."""

    __slots__ = ("_bytes", "_window")

    def __init__(self, window: int) -> None:
        self._bytes, self._window = 0, window

    def take(self, size: int) -> int:
        """The credit to send now; 0 = not yet."""
        self._bytes += size
        if self._bytes * 2 < self._window:
            return 0
        granted, self._bytes = self._bytes, 0
        return granted
