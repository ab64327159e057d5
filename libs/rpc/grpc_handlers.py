"""Serves Handlers over stock grpc.aio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import grpc
import grpc.aio

from libs.errors import PlatformError, Reason
from libs.rpc.api import CallInfo, Handler
from libs.rpc.dispatch import IDENTITY_KEY, TOKEN_KEY, Dispatcher
from libs.rpc.errors import DETAILS_KEY, encode
from libs.rpc.outlet import Outlet, serve_into

Context = grpc.aio.ServicerContext[Any, Any]


class DispatchingHandler(grpc.GenericRpcHandler):
    """Looks methods up in a Dispatcher. `running` counts calls, for drains."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self.running = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The gRPC form of the handler; None leaves the path to the other services of the server."""
        handler = self._dispatcher.find(handler_call_details.method)
        if handler is None:
            return None
        method = handler.method
        parse = method.request.FromString
        if method.streaming:  # an outlet gives out bytes
            return grpc.unary_stream_rpc_method_handler(self._stream(handler), request_deserializer=parse)
        write = method.response.SerializeToString
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler), request_deserializer=parse, response_serializer=write
        )

    def _admit(self, handler: Handler, context: Context) -> CallInfo:
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        if not self._dispatcher.authentic(metadata.pop(TOKEN_KEY, "")):
            raise PlatformError(Reason.INVALID_API_KEY, "this port needs the internal token", started=False)
        identity = self._dispatcher.identify(metadata.pop(IDENTITY_KEY, ""))
        return self._dispatcher.admit(handler.method.path, identity, context.time_remaining(), metadata)

    def _unary(self, handler: Handler) -> Callable[[Any, Context], Any]:
        async def serve(request: Any, context: Context) -> Any:
            self.running += 1
            try:
                info = self._admit(handler, context)
                return await self._dispatcher.run(info, lambda: handler.serve(request, info))  # type: ignore[call-arg, arg-type]
            except PlatformError as error:
                await _abort(context, error)
            finally:
                self.running -= 1

        return serve

    def _stream(self, handler: Handler) -> Callable[[Any, Context], AsyncIterator[Any]]:
        async def serve(request: Any, context: Context) -> AsyncIterator[Any]:
            self.running += 1
            outlet = Outlet()
            task: asyncio.Task[None] | None = None
            try:
                info = self._admit(handler, context)
                task = serve_into(outlet, self._dispatcher, handler, request, info)
                while (payload := await outlet.take()) is not None:
                    yield payload
                await task
            except PlatformError as error:
                await _abort(context, error)
            finally:
                self.running -= 1
                outlet.abandon(PlatformError(Reason.CANCELLED, "the caller has gone"))
                if task is not None and not task.done():
                    task.cancel()

        return serve


async def _abort(context: Context, error: PlatformError) -> NoReturn:
    context.set_trailing_metadata(((DETAILS_KEY, encode(error).SerializeToString()),))
    await context.abort(error.status, error.message)
    raise AssertionError("abort raises")
