"""One live trunk, seen from either side: writes what the outbox holds, reads frames, notices a dead peer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from google.protobuf.message import DecodeError
from headrace.common.v1.trunk_pb2 import ConnectRequest, ConnectResponse, Frame, Ping

from libs.rpc.trunk.limits import TrunkLimits
from libs.rpc.trunk.outbox import Outbox

# One message holds an engine step of hundreds of calls. After a turn's time the other tasks of the loop come in between
# (new requests, writes), or a step would hold up all of them; the time is looked at every so many frames.
_TURN_SECONDS = 0.001
_LOOK_EVERY = 16
_LAST_FRAMES_SECONDS = 1.0


class Pipe(Protocol):
    """What is under a link: a gRPC stream, or a plain connection. Both methods may raise whatever tells of a loss."""

    async def read(self) -> bytes | None:
        """The next message; None at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """One message; returns when it has been taken."""
        ...


class Link:
    """Reads until the end, then `run` returns. `on_frame` gets each frame with its call's number; it must not block.

    `on_frame` keeps the faults of a call to that call; one that escapes it ends the trunk, as a bad message does.
    """

    def __init__(
        self,
        pipe: Pipe,
        limits: TrunkLimits,
        *,
        sends: type[ConnectRequest | ConnectResponse],
        receives: type[ConnectRequest | ConnectResponse],
        on_frame: Callable[[int, Frame], None],
    ) -> None:
        self._pipe, self._limits = pipe, limits
        self._sends, self._receives, self._on_frame = sends, receives, on_frame
        self.outbox = Outbox(limits)
        # The larger side's payload limit is of no use; what the peer takes came with its Hello.
        self.payload_bytes_max = limits.payload_bytes
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._writing_since: float | None = None
        self.lag_seconds = 0.0
        self.lost = False
        self._finishing = False

    def finish(self) -> None:
        """Ends the link once everything in the outbox has been written."""
        self._finishing = True
        self._wake.set()

    def kick(self) -> None:
        """Something is in the outbox: it goes out at the end of this tick, with all that is added until then."""
        self._wake.set()

    @property
    def write_stall_seconds(self) -> float:
        """How long the present write has been waiting."""
        return 0.0 if self._writing_since is None else self._loop.time() - self._writing_since

    async def run(self) -> str:
        """Serves the link until one side ends it; returns why."""
        jobs: list[Callable[[], Awaitable[str]]] = [self._read, self._write, self._watch]
        tasks = [asyncio.ensure_future(job()) for job in jobs]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            reader, writer, _ = tasks
            if writer in done and not self._finishing:  # lost, and what came before the loss counts
                await asyncio.wait([reader], timeout=_LAST_FRAMES_SECONDS)
            return _reason(next(iter(done)))
        finally:
            self.lost = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> str:
        read, parse, on_frame = self._pipe.read, self._receives.FromString, self._on_frame
        while True:
            try:
                data = await read()
            except Exception as error:  # gRPC raises its own and core errors alike: the stream is over
                return f"the peer was lost ({type(error).__name__})"
            if data is None:
                return "the peer ended the trunk"
            self._heard = self._loop.time()
            if len(data) > 4 * self._limits.message_bytes:
                return f"a message of {len(data)} bytes is over the limit"
            turn_ends = self._heard + _TURN_SECONDS
            try:
                message = parse(data)
            except DecodeError:
                return "a message could not be decoded"
            for count, frame in enumerate(message.frames, start=1):
                number = frame.call
                if number or not frame.HasField("ping"):
                    on_frame(number, frame)
                elif not frame.ping.ack:
                    self.outbox.control(Frame(ping=Ping(id=frame.ping.id, ack=True)))
                    self._wake.set()
                if not count % _LOOK_EVERY and self._loop.time() > turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = self._loop.time() + _TURN_SECONDS

    async def _write(self) -> str:
        write, pop, sends = self._pipe.write, self.outbox.pop, self._sends
        while True:
            await self._wake.wait()
            self._wake.clear()
            while (message := pop(sends)) is not None:
                self._writing_since = self._loop.time()
                try:
                    await write(message.SerializeToString())
                except Exception as error:  # as in _read
                    return f"the peer was lost while writing ({type(error).__name__})"
                self._writing_since = None
            if self._finishing:
                return "this side ended the trunk"

    async def _watch(self) -> str:
        limits, number = self._limits, 0
        while True:
            due = self._loop.time() + limits.ping_seconds
            await asyncio.sleep(limits.ping_seconds)
            self.lag_seconds = self._loop.time() - due
            if self.lag_seconds > limits.ping_seconds:  # this side slept: give what has arrived a chance to be read
                self._heard = max(self._heard, self._loop.time() - limits.silent_seconds / 2)
            if self.write_stall_seconds > limits.write_seconds:
                return f"a write was blocked for {limits.write_seconds:g} s"
            if self._loop.time() - self._heard > limits.silent_seconds:
                return f"nothing was heard for {limits.silent_seconds:g} s"
            number += 1
            self.outbox.control(Frame(ping=Ping(id=number)))
            self._wake.set()


def _reason(ended: asyncio.Task[str]) -> str:
    fault = ended.exception()
    return ended.result() if fault is None else f"a fault on this side ({type(fault).__name__})"
