"""The dialling side: a `Channel` over one trunk to one process, dialled when first used and again when lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any

import grpc.aio
import structlog
from headrace.common.v1.trunk_pb2 import Cancel, ConnectRequest, ConnectResponse, Frame, Hello

from libs.errors import PlatformError, Reason
from libs.rpc.grpc_channel import from_rpc_error
from libs.rpc.method import Method, Req, Res
from libs.rpc.settings import channel_options
from libs.rpc.trunk.client_call import ClientCall
from libs.rpc.trunk.deadlines import Deadlines
from libs.rpc.trunk.gauges import TrunkGauges, Trunks, gauges_of
from libs.rpc.trunk.limits import VERSION, TrunkLimits
from libs.rpc.trunk.link import Link, Pipe
from libs.rpc.trunk.sockets import FEATURE, SocketPipe, connect

PATH = "/headrace.common.v1.TrunkService/Connect"
_log = structlog.get_logger(__name__)
BACKOFF_SECONDS = 0.05


class _NotATrunkError(Exception):
    """The peer's first message is no greeting that this version understands."""


class _CallPipe:
    """A grpc.aio stream-stream call as the bytes pipe of a link."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def read(self) -> bytes | None:
        data = await self._call.read()
        return None if data is grpc.aio.EOF else data

    async def write(self, data: bytes) -> None:
        await self._call.write(data)


class TrunkChannel:
    """See Channel. Calls made while the trunk is being dialled wait for it; a refused dial fails them, not started.

    After a refused dial, calls fail at once until the back-off is over: a caller with other candidates must not wait.
    """

    def __init__(
        self,
        address: str,
        *,
        identity: str,
        token: str,
        limits: TrunkLimits | None = None,
        trunks: Trunks | None = None,
        jitter: Callable[[], float] = random.random,
        sockets: bool = True,
    ) -> None:
        """`sockets`: move the trunk to a plain connection where the peer offers one (sockets.py)."""
        self._address, self._identity, self._token = address, identity, token
        self._limits, self._jitter = limits or TrunkLimits(), jitter
        self._trunks = trunks or Trunks()
        self._sockets = sockets
        self._calls: dict[int, ClientCall[Any]] = {}
        self._unsent: list[ClientCall[Any]] = []
        self._deadlines = Deadlines(lambda: [*self._calls.values(), *self._unsent])
        self._next_id = 0
        self._link: Link | None = None
        self._going_away: str | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._dial_now = asyncio.Event()
        self._refusal: str | None = None
        self._closed = False

    @property
    def address(self) -> str:
        """See Channel."""
        return self._address

    def gauges(self) -> TrunkGauges:
        """Figures of this moment."""
        return gauges_of(self._link, len(self._calls))

    # -- calls

    async def call(
        self, method: Method[Req, Res], request: Req, *, timeout: float, metadata: Mapping[str, str] | None = None
    ) -> Res:
        """See Channel."""
        call = self.stream(method, request, timeout=timeout, metadata=metadata)
        batch = await call.next_batch()
        if not batch:
            raise PlatformError(Reason.INTERNAL, f"{method.name} ended without an answer")
        return batch[0]

    def stream(
        self, method: Method[Req, Res], request: Req, *, timeout: float, metadata: Mapping[str, str] | None = None
    ) -> ClientCall[Res]:
        """See Channel."""
        payload = request.SerializeToString()
        call = ClientCall(self, method, payload, metadata or {}, self._limits, timeout)
        problem = self._problem(method.name, len(payload), timeout)
        if problem is not None:
            call.end(problem)
            return call
        self._deadlines.add(call.expires_at)
        if self._link is not None:
            self._send_open(self._link, call)
        else:
            self._unsent.append(call)
            self._dial()
        return call

    def _problem(self, name: str, size: int, timeout: float) -> PlatformError | None:
        if self._closed:
            return PlatformError(Reason.WORKER_LOST, f"the channel to {self._address} is closed", started=False)
        if timeout <= 0:
            return PlatformError(Reason.DEADLINE_EXCEEDED, f"no time was left for {name}", started=False)
        size_max = self._limits.payload_bytes if self._link is None else self._link.payload_bytes_max
        if size > size_max:
            message = f"the request of {name} is larger than {size_max} bytes"
            return PlatformError(Reason.PAYLOAD_TOO_LARGE, message, started=False)
        if self._going_away is not None:
            return PlatformError(Reason.DRAINING, f"{self._address} is draining: {self._going_away}", started=False)
        if self._refusal is not None:
            self._dial_now.set()
            return self._unreachable(self._refusal)
        return None

    def _unreachable(self, reason: str) -> PlatformError:
        return PlatformError(Reason.WORKER_LOST, f"{self._address} cannot be reached: {reason}", started=False)

    def _send_open(self, link: Link, call: ClientCall[Any]) -> None:
        self._next_id += 1
        call.id = self._next_id
        self._calls[call.id] = call
        link.outbox.open(call.opening())
        link.kick()

    def give_credit(self, call: int, credit: int) -> None:
        """See Owner."""
        if self._link is not None:
            self._link.outbox.control(Frame(call=call, credit=credit))
            self._link.kick()

    def drop(self, call: int, *, cancel: bool) -> None:
        """See Owner."""
        if call == 0:
            self._unsent = [waiting for waiting in self._unsent if not waiting.over]
            return
        link = self._link
        known = self._calls.pop(call, None) is not None
        # An Open that was not written yet is taken back, and the peer never hears of the call.
        if known and cancel and link is not None and not link.outbox.forget(call):
            link.outbox.control(Frame(call=call, cancel=Cancel()))
            link.kick()

    # -- frames

    def _on_frame(self, number: int, frame: Frame) -> None:
        if number:
            call = self._calls.get(number)
            if call is not None:
                call.on_frame(frame)  # keeps its faults to itself
        elif frame.HasField("go_away"):
            self._on_go_away(frame)

    def _on_go_away(self, frame: Frame) -> None:
        away = frame.go_away
        self._going_away = away.reason or "it is shutting down"
        for number, call in list(self._calls.items()):
            if number > away.last_call:
                call.end(PlatformError(Reason.DRAINING, f"{self._address} is draining", started=False))
            elif away.hand_over and call.method.streaming:
                call.fail(PlatformError(Reason.DRAINING, f"{self._address} is draining and hands its streams over"))

    # -- life

    def _dial(self) -> None:
        self._dial_now.set()
        if self._supervisor is None:
            self._supervisor = asyncio.ensure_future(self._supervise())

    async def _supervise(self) -> None:
        backoff = BACKOFF_SECONDS
        while True:
            await self._dial_now.wait()
            reason, lived = await self._connect()
            say = _log.info if lived else _log.debug  # a peer that is not there yet is asked again and again
            say("trunk ended" if lived else "trunk refused", address=self._address, reason=reason)
            self._going_away = None
            self._lose(reason, refused=not lived)
            self._refusal = None if lived else reason
            if not self._unsent:
                self._dial_now.clear()
            backoff = BACKOFF_SECONDS if lived else min(2 * backoff, self._limits.backoff_seconds_max)
            await asyncio.sleep(backoff * (0.5 + self._jitter()))
            self._refusal = None

    async def _connect(self) -> tuple[str, bool]:
        options = [*channel_options(4 * self._limits.message_bytes, 16384, 10.0), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self._address, options=options) as channel:
            call: Any = channel.stream_stream(PATH)()
            try:
                async with asyncio.timeout(self._limits.connect_seconds):
                    hello = await self._greet(call)
            except grpc.aio.AioRpcError as error:
                return str(from_rpc_error(error).message), False
            except Exception as error:  # gRPC raises core errors too; a dial that fails must never end the redialling
                return f"it did not answer the greeting ({type(error).__name__})", False
            try:
                pipe = await self._choose(call, hello)
            except Exception as error:  # as above: the peer went while the way was being chosen
                return f"it was lost after the greeting ({type(error).__name__})", False
            link = Link(pipe, self._limits, sends=ConnectRequest, receives=ConnectResponse, on_frame=self._on_frame)
            link.payload_bytes_max = min(self._limits.payload_bytes, hello.payload_bytes_max or 2**32)
            self._link = link
            unsent, self._unsent = self._unsent, []
            for waiting in unsent:
                self._send_open(link, waiting)
            try:
                with self._trunks.entered("dialling", self.gauges):
                    return await link.run(), True
            finally:
                if isinstance(pipe, SocketPipe):
                    pipe.close()

    async def _choose(self, call: Any, hello: Hello) -> Pipe:
        """Moves to a connection of its own where the server offers one and it can be reached."""
        stream = _CallPipe(call)
        if not hello.socket_port:
            return stream
        pipe = await connect(
            self._address.rpartition(":")[0].strip("[]"),
            hello.socket_port,
            hello.socket_ticket,
            message_bytes_max=4 * self._limits.message_bytes,
            seconds=self._limits.connect_seconds,
        )
        if pipe is None:
            _log.info("trunk stays on its stream", address=self._address, unreachable=hello.socket_port)
        chosen = Hello(version=VERSION, features=[FEATURE] if pipe else [])
        try:
            await stream.write(ConnectRequest(frames=[Frame(hello=chosen)]).SerializeToString())
        except BaseException:
            if pipe is not None:
                pipe.close()
            raise
        return pipe or stream

    async def _greet(self, call: Any) -> Hello:
        hello = Hello(
            version=VERSION,
            identity=self._identity,
            token=self._token,
            features=[FEATURE] if self._sockets else [],
            calls_max=self._limits.calls_max,
            payload_bytes_max=self._limits.payload_bytes,
        )
        await call.write(ConnectRequest(frames=[Frame(hello=hello)]).SerializeToString())
        data = await call.read()
        if data is grpc.aio.EOF:
            await call  # raises the status that the peer ended with
            raise TimeoutError
        frames = ConnectResponse.FromString(data).frames
        if len(frames) != 1 or frames[0].hello.version != VERSION:
            raise _NotATrunkError
        return frames[0].hello

    def _lose(self, reason: str, *, refused: bool) -> None:
        link, self._link = self._link, None
        for number, call in list(self._calls.items()):
            unsent = link is not None and link.outbox.forget(number)
            call.end(PlatformError(Reason.WORKER_LOST, f"{self._address}: {reason}", started=not unsent))
        self._calls.clear()
        if refused:
            unsent_calls, self._unsent = self._unsent, []
            for call in unsent_calls:
                call.end(self._unreachable(reason))

    async def close(self) -> None:
        """See Channel."""
        self._closed = True
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.gather(supervisor, return_exceptions=True)
        for call in [*self._calls.values(), *self._unsent]:
            call.end(PlatformError(Reason.CANCELLED, f"the channel to {self._address} was closed"))
        self._lose("the channel was closed", refused=True)
        self._deadlines.close()
