"""Streaming handlers that begin work which then pushes by itself."""

from __future__ import annotations

import asyncio
from typing import Any

from libs.errors import PlatformError
from libs.rpc.api import CallInfo, Handler, Responder, StartHandler, StreamHandler
from libs.rpc.method import Method


def started(method: Method[Any, Any], start: StartHandler, allowed: frozenset[str] = frozenset()) -> Handler:
    """The handler of a streaming method: started in place where the transport can, else waited for in a task."""
    return Handler(method, _awaited(start), allowed, start=start)


def _awaited(start: StartHandler) -> StreamHandler:
    async def serve(request: Any, responder: Responder[Any], info: CallInfo) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def ended(error: PlatformError | None) -> None:
            if done.done():  # the task was cancelled before the work heard of it
                return
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        start(request, responder, info, ended)
        await done

    return serve
