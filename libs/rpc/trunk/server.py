"""The accepting side: TrunkService.Connect, served beside the ordinary RPCs on the same port by the same handlers."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError
from headrace.common.v1.trunk_pb2 import ConnectRequest, ConnectResponse, Frame, GoAway, Hello

from libs.errors import PlatformError, Reason
from libs.rpc.dispatch import Dispatcher
from libs.rpc.trunk.client import PATH
from libs.rpc.trunk.deadlines import Deadlines
from libs.rpc.trunk.gauges import Trunks, gauges_of
from libs.rpc.trunk.limits import VERSION, TrunkLimits
from libs.rpc.trunk.link import Link, Pipe
from libs.rpc.trunk.server_call import ServerCall
from libs.rpc.trunk.sockets import FEATURE, SocketDoor, SocketPipe

_log = structlog.get_logger(__name__)


class _ContextPipe:
    """A grpc.aio servicer context as the bytes pipe of a link."""

    def __init__(self, context: Any) -> None:
        self._context = context

    async def read(self) -> bytes | None:
        data = await self._context.read()
        return None if data is grpc.aio.EOF else data

    async def write(self, data: bytes) -> None:
        await self._context.write(data)


class _Peer:
    """One accepted trunk and its calls."""

    def __init__(self, pipe: Pipe, identity: str, dispatcher: Dispatcher, limits: TrunkLimits) -> None:
        self.identity, self.dispatcher, self._limits = identity, dispatcher, limits
        self.calls: dict[int, ServerCall] = {}
        self.last_call = 0
        self.draining = False
        self.idle = asyncio.Event()
        self.idle.set()
        self.ended = asyncio.Event()
        self.deadlines = Deadlines(self.calls.values)
        self.now = asyncio.get_running_loop().time
        self.link = Link(pipe, limits, sends=ConnectResponse, receives=ConnectRequest, on_frame=self._on_frame)

    def _on_frame(self, number: int, frame: Frame) -> None:
        try:
            self._route(number, frame)
        except Exception as error:  # blast radius: whatever a frame sets off ends its own call alone
            _log.error("a frame failed", call=number, error=type(error).__name__)
            call = self.calls.get(number)
            if call is not None:
                call.abandon(PlatformError(Reason.INTERNAL, "the call failed inside the server"))

    def _route(self, number: int, frame: Frame) -> None:
        kind = frame.WhichOneof("kind")
        if kind == "open":
            self._on_open(number, frame)
            return
        call = self.calls.get(number)
        if call is None:
            return  # over already, or an unknown frame of a newer peer
        if kind == "credit":
            call.grant(frame.credit)
        elif kind == "cancel":
            call.abandon(PlatformError(Reason.CANCELLED, "the caller gave the call up"))
        elif kind == "data":
            call.feed(frame.data, more=frame.more)

    def _on_open(self, number: int, frame: Frame) -> None:
        if number <= self.last_call:
            return  # a bad frame ends nothing but itself: the id is or was another call's
        self.last_call = number
        call = ServerCall(self, number, frame.open, self._limits)
        if not self.calls:
            self.idle.clear()
        self.calls[number] = call
        if self.draining:
            call.finish(PlatformError(Reason.DRAINING, "the process is shutting down", started=False))
        elif len(self.calls) > self._limits.calls_max:
            message = f"more than {self._limits.calls_max} calls at once on this trunk"
            call.finish(PlatformError(Reason.OVERLOADED, message, retry_after_seconds=1.0, started=False))
        else:
            call.feed(frame.open.payload, more=frame.more)

    def done(self, number: int) -> None:
        """See Side."""
        self.calls.pop(number, None)
        if not self.calls:
            self.idle.set()

    def go_away(self, reason: str, *, hand_over: bool) -> None:
        """No further calls; running ones may finish, or are to be moved by the peer."""
        self.draining = True
        away = GoAway(last_call=self.last_call, hand_over=hand_over, reason=reason)
        self.link.outbox.control(Frame(go_away=away))
        self.link.kick()

    def lose(self) -> None:
        """The trunk is gone: every handler is told."""
        for call in list(self.calls.values()):
            call.abandon(PlatformError(Reason.CANCELLED, "the caller's process has gone"))
        self.deadlines.close()


class TrunkAcceptor(grpc.GenericRpcHandler):
    """Accepts trunks. Peers that do not know the token, or speak another version, are refused with words."""

    def __init__(
        self, identity: str, dispatcher: Dispatcher, limits: TrunkLimits, trunks: Trunks | None = None
    ) -> None:
        self._identity, self._dispatcher, self._limits = identity, dispatcher, limits
        self._trunks = trunks or Trunks()
        self._peers: set[_Peer] = set()
        self._draining = False
        self._door: SocketDoor | None = None

    async def open_door(self, host: str, port: int) -> None:
        """Lets trunks move to plain connections (sockets.py) on this port, 0 = any free one. Raises OSError."""
        door = SocketDoor(4 * self._limits.message_bytes, self._limits.connect_seconds)
        await door.open(host, port)
        self._door = door

    def close_door(self) -> None:
        """Lets no further trunk in by a connection of its own. A repeat does nothing."""
        if self._door is not None:
            self._door.close()

    @property
    def open_calls(self) -> int:
        """Calls running on all trunks."""
        return sum(len(peer.calls) for peer in self._peers)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Answers for the one path of the trunk."""
        if handler_call_details.method != PATH:
            return None
        return grpc.stream_stream_rpc_method_handler(self._connect)

    async def _connect(self, _: Any, context: Any) -> None:
        stream = _ContextPipe(context)
        hello, ticket = await self._greet(stream, context)
        pipe = await self._chosen(stream, ticket, context) if ticket else stream
        peer = _Peer(pipe, self._dispatcher.identify(hello.identity), self._dispatcher, self._limits)
        peer.link.payload_bytes_max = min(self._limits.payload_bytes, hello.payload_bytes_max or 2**32)
        self._peers.add(peer)
        if self._draining:
            peer.go_away("the process is shutting down", hand_over=False)
        try:
            with self._trunks.entered("accepting", lambda: gauges_of(peer.link, len(peer.calls))):
                reason = await peer.link.run()
            _log.debug("trunk ended", peer=hello.identity, reason=reason)
        finally:
            self._peers.discard(peer)
            peer.lose()
            if isinstance(pipe, SocketPipe):
                pipe.close()
            peer.ended.set()

    async def _hello(self, pipe: _ContextPipe, context: Any) -> Hello:
        try:
            async with asyncio.timeout(self._limits.connect_seconds * 5):
                frames = list(ConnectRequest.FromString(await pipe.read() or b"").frames)
        except (DecodeError, TimeoutError):
            frames = []
        if len(frames) != 1 or not frames[0].HasField("hello"):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a trunk begins with one Hello")
        return frames[0].hello

    async def _chosen(self, stream: _ContextPipe, ticket: bytes, context: Any) -> Pipe:
        """The connection that the peer has moved to, or its stream."""
        assert self._door is not None  # noqa: S101 - it gave the ticket
        try:
            if FEATURE in (await self._hello(stream, context)).features:
                return await self._door.enter(ticket)
        except TimeoutError:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "nobody came with the trunk's ticket")
        finally:
            self._door.void(ticket)
        return stream

    async def _greet(self, pipe: _ContextPipe, context: Any) -> tuple[Hello, bytes]:
        """The peer's greeting, and the ticket it was offered (empty = none)."""
        hello = await self._hello(pipe, context)
        if not self._dispatcher.authentic(hello.token):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the trunk needs the internal token of this install")
        if hello.version != VERSION:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"trunk version {VERSION} is spoken here")
        ticket = self._door.ticket() if self._door is not None and FEATURE in hello.features else b""
        own = Hello(
            features=[FEATURE] if ticket else [],
            socket_port=self._door.port if self._door is not None and ticket else 0,
            socket_ticket=ticket,
            version=VERSION,
            identity=self._identity,
            calls_max=self._limits.calls_max,
            payload_bytes_max=self._limits.payload_bytes,
        )
        try:
            await pipe.write(ConnectResponse(frames=[Frame(hello=own)]).SerializeToString())
        except BaseException:
            if self._door is not None:
                self._door.void(ticket)
            raise
        return hello, ticket

    async def drain(self, grace_seconds: float, *, hand_over: bool) -> None:
        """GoAway on every trunk; returns when their calls and then they have ended, or the grace is over.

        A trunk ends after its last frame: a server that stops under it would cut what is not written yet.
        """
        self._draining = True
        for peer in self._peers:
            peer.go_away("the process is shutting down", hand_over=hand_over)
        try:
            async with asyncio.timeout(grace_seconds):
                for peer in list(self._peers):
                    await peer.idle.wait()
                    peer.link.finish()
                    await peer.ended.wait()
        except TimeoutError:
            return
