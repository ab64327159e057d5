"""A `Channel` over stock grpc.aio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Generic

import grpc
import grpc.aio
from google.rpc import status_pb2

from libs.errors import PlatformError, Reason
from libs.rpc.dispatch import IDENTITY_KEY, TOKEN_KEY
from libs.rpc.errors import DETAILS_KEY, decode, decode_bytes
from libs.rpc.method import Method, Req, Res
from libs.rpc.settings import channel_options

GIVEN_UP = "the caller gave the call up"


def from_rpc_error(error: grpc.aio.AioRpcError) -> PlatformError:
    """The error a peer sent, or what gRPC's own failure means. A refused connection began no work."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return decode_bytes(value)
    details = error.details() or ""
    found = decode(status_pb2.Status(code=error.code().value[0], message=details))
    if error.code() is grpc.StatusCode.CANCELLED:  # our own cancels raise CancelledError: this is a peer that stopped
        found.reason = Reason.WORKER_LOST
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        found.started = "failed to connect" not in details.lower() and "connection refused" not in details.lower()
    return found


def _raise_given_up() -> None:
    """GRPC raises CancelledError when the call was cancelled, which must not pass for a cancel of the waiting task."""
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        raise PlatformError(Reason.CANCELLED, GIVEN_UP)


class GrpcStream(Generic[Res]):
    """A `Stream` over a grpc.aio call."""

    def __init__(self, call: grpc.aio.UnaryStreamCall[Any, Res]) -> None:
        self._call = call
        self._over = False
        self._cancelled = False

    def __aiter__(self) -> AsyncIterator[Res]:
        return self

    async def __anext__(self) -> Res:
        if self._over:
            self._refuse()
            raise StopAsyncIteration
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            self._over = True
            raise from_rpc_error(error) from None
        except asyncio.CancelledError:
            self._over = True
            _raise_given_up()
            raise
        if message is grpc.aio.EOF:
            self._over = True
            raise StopAsyncIteration
        return message  # type: ignore[return-value]

    async def next_batch(self) -> list[Res]:
        """See Stream; stock gRPC hands out one at a time."""
        try:
            return [await self.__anext__()]
        except StopAsyncIteration:
            return []

    def tap(self, take: Callable[[Any], bool]) -> None:
        """See Stream; stock gRPC does not push."""

    def _refuse(self) -> None:
        if self._cancelled:
            raise PlatformError(Reason.CANCELLED, GIVEN_UP)

    def cancel(self) -> None:
        """See Stream."""
        if not self._over:
            self._over = self._cancelled = True
            self._call.cancel()


class GrpcChannel:
    """Calls to one address; connects when first used, reconnects by itself."""

    def __init__(self, address: str, *, identity: str, token: str) -> None:
        self._address = address
        self._channel = grpc.aio.insecure_channel(address, options=self._options())
        self._own = ((TOKEN_KEY, token), (IDENTITY_KEY, identity))
        self._calls: dict[str, Any] = {}

    @staticmethod
    def _options() -> list[tuple[str, int]]:
        backoff = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]
        # A channel of its own per peer: gRPC would share one connection between channels of equal options.
        return [*channel_options(8 << 20, 16384, 10.0), *backoff, ("grpc.use_local_subchannel_pool", 1)]

    @property
    def address(self) -> str:
        """See Channel."""
        return self._address

    def _callable(self, method: Method[Req, Res]) -> Any:
        made = self._calls.get(method.path)
        if made is None:
            make = self._channel.unary_stream if method.streaming else self._channel.unary_unary
            made = self._calls[method.path] = make(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
        return made

    def _metadata(self, metadata: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
        return (*self._own, *(metadata or {}).items())

    async def call(
        self, method: Method[Req, Res], request: Req, *, timeout: float, metadata: Mapping[str, str] | None = None
    ) -> Res:
        """See Channel."""
        if timeout <= 0:
            raise PlatformError(Reason.DEADLINE_EXCEEDED, f"no time was left for {method.name}", started=False)
        try:
            answer: Res = await self._callable(method)(request, timeout=timeout, metadata=self._metadata(metadata))
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        except asyncio.CancelledError:
            _raise_given_up()
            raise
        return answer

    def stream(
        self, method: Method[Req, Res], request: Req, *, timeout: float, metadata: Mapping[str, str] | None = None
    ) -> GrpcStream[Res]:
        """See Channel."""
        return GrpcStream(self._callable(method)(request, timeout=max(timeout, 0.0), metadata=self._metadata(metadata)))

    async def close(self) -> None:
        """See Channel."""
        await self._channel.close(None)
