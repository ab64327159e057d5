"""One call from the dialling side: collects responses, gives credit back, ends exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Generic, Protocol

from headrace.common.v1.trunk_pb2 import Frame

from libs.errors import PlatformError, Reason
from libs.rpc.errors import decode_bytes
from libs.rpc.method import Method, Res
from libs.rpc.trunk.calls import Assembly, Consumed
from libs.rpc.trunk.limits import TrunkLimits
from libs.rpc.trunk.outbox import Opening


class Owner(Protocol):
    """What a call needs of its channel."""

    def give_credit(self, call: int, credit: int) -> None:
        """Sends Credit."""
        ...

    def drop(self, call: int, *, cancel: bool) -> None:
        """The call is over; `cancel` = the peer does not know yet."""
        ...


class ClientCall(Generic[Res]):
    """A `Stream`; a unary call is one that ends with its first message. `timeout` in seconds from this moment."""

    __slots__ = (
        "_assembly",
        "_consumed",
        "_error",
        "_limits",
        "_loop",
        "_over",
        "_owner",
        "_parse",
        "_ready",
        "_ready_bytes",
        "_tap",
        "_waiter",
        "expires_at",
        "id",
        "metadata",
        "method",
        "payload",
    )

    def __init__(
        self,
        owner: Owner,
        method: Method[Any, Res],
        payload: bytes,
        metadata: Mapping[str, str],
        limits: TrunkLimits,
        timeout: float,
    ) -> None:
        self.id = 0
        self.method, self.payload, self.metadata = method, payload, metadata
        self._owner, self._limits = owner, limits
        self._parse = method.response.FromString
        self._assembly: Assembly | None = None
        self._consumed = Consumed(limits.window_bytes) if method.streaming else None
        self._ready: list[Res] = []
        self._ready_bytes = 0
        self._tap: Callable[[Res], bool] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: PlatformError | None = None
        self._over = False
        self._loop = asyncio.get_running_loop()
        self.expires_at = self._loop.time() + timeout

    def opening(self) -> Opening:
        """The Open frame to be, with what is left of the deadline."""
        left = max(1, int(1000 * (self.expires_at - self._loop.time())))
        credit = self._limits.window_bytes if self._consumed is not None else 0
        payload, self.payload = self.payload, b""
        return Opening(self.id, self.method.path, credit, left, self.metadata, payload)

    @property
    def over(self) -> bool:
        """Nothing more will come from the peer."""
        return self._over

    def on_frame(self, frame: Frame) -> None:
        """A Data or Close frame of this call."""
        if self._over:
            return
        if self._tap is not None and self._waiter is not None and self._offer(frame):
            return
        if frame.HasField("data"):
            self._on_data(frame)
        elif frame.HasField("close"):  # any other kind is of a newer peer
            self.end(decode_bytes(frame.close.status) if frame.close.status else None)

    def _on_data(self, frame: Frame) -> None:
        payload: bytes | None = frame.data
        try:
            if self._assembly is not None or frame.more:
                payload = self._join(frame.data, more=frame.more)
            if payload is not None:
                self._assembly = None
                self._ready.append(self._parse(payload))
                self._ready_bytes += len(payload)
        except PlatformError as error:
            self.fail(error)
            return
        except Exception:  # protobuf's own error: what came is no response message; it ends this call alone
            self.fail(PlatformError(Reason.INTERNAL, f"a response of {self.method.name} could not be decoded"))
            return
        if frame.end:
            self.end(None)
        elif self._waiter is not None and payload is not None:
            self._wake()

    def _offer(self, frame: Frame) -> bool:
        """Whether the tap took it. Only while the reader waits: what it was woken for, or still works on, comes first.

        Hot: the whole way of most responses. Data is the only kind of frame with a payload.
        """
        payload = frame.data
        if not payload or frame.more or frame.end or self._assembly is not None:
            return False
        try:
            if not self._tap(self._parse(payload)):  # type: ignore[misc]
                return False
        except Exception:  # protobuf's own error, or the tap's: it ends this call alone
            self.fail(PlatformError(Reason.INTERNAL, f"a response of {self.method.name} could not be taken"))
            return True
        if self._consumed is not None and (credit := self._consumed.take(len(payload))):
            self._owner.give_credit(self.id, credit)
        return True

    def _join(self, part: bytes, *, more: bool) -> bytes | None:
        if self._assembly is None:
            self._assembly = Assembly(self._limits.payload_bytes)
        return self._assembly.feed(part, more=more)

    def end(self, error: PlatformError | None) -> None:
        """The peer ended the call, or the link did. What has arrived can still be read."""
        self._finish(error, cancel=False)

    def fail(self, error: PlatformError) -> None:
        """Ended on this side: the peer is told."""
        self._finish(error, cancel=True)

    def _finish(self, error: PlatformError | None, *, cancel: bool) -> None:
        if self._over:
            return
        self._over, self._error = True, error
        self._owner.drop(self.id, cancel=cancel)
        self._wake()

    def expire(self) -> None:
        """See Expiring."""
        self.fail(PlatformError(Reason.DEADLINE_EXCEEDED, f"{self.method.name} did not finish in time"))

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def __aiter__(self) -> AsyncIterator[Res]:
        return self

    async def __anext__(self) -> Res:
        while not self._ready:
            if self._over:
                self._raise()
                raise StopAsyncIteration
            await self._wait()
        message = self._ready.pop(0)
        self._took(message.ByteSize())
        return message

    async def next_batch(self) -> list[Res]:
        """See Stream."""
        while not self._ready:
            if self._over:
                self._raise()
                return []
            await self._wait()
        batch, self._ready = self._ready, []
        self._took(self._ready_bytes)
        return batch

    def tap(self, take: Callable[[Res], bool]) -> None:
        """See Stream."""
        self._tap = take

    def _took(self, size: int) -> None:
        self._ready_bytes -= size
        if self._consumed is None or self._over:
            return
        credit = self._consumed.take(size)
        if credit:
            self._owner.give_credit(self.id, credit)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.cancel()
            raise

    def cancel(self) -> None:
        """See Stream."""
        self._ready.clear()
        self.fail(PlatformError(Reason.CANCELLED, "the caller gave the call up"))
