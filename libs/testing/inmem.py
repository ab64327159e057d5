"""A `Channel` straight onto handlers in this process: the neighbour's real code, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Generic

from libs.clock import Clock, SystemClock
from libs.errors import PlatformError, Reason
from libs.rpc.api import CallInfo, Handler
from libs.rpc.dispatch import Dispatcher
from libs.rpc.method import Method, Req, Res
from libs.rpc.outlet import Outlet, serve_into


class InMemoryStream(Generic[Res]):
    """A `Stream` over an outlet."""

    def __init__(
        self,
        outlet: Outlet,
        parse: Callable[[bytes], Res],
        task: asyncio.Task[None] | None,
        error: PlatformError | None = None,
    ) -> None:
        self._outlet, self._parse, self._task, self._error = outlet, parse, task, error

    def __aiter__(self) -> AsyncIterator[Res]:
        return self

    async def __anext__(self) -> Res:
        if self._error is not None:
            raise self._error
        payload = await self._outlet.take()
        if payload is not None:
            return self._parse(payload)
        if self._task is not None:
            await self._task
        raise StopAsyncIteration

    async def next_batch(self) -> list[Res]:
        """See Stream."""
        try:
            return [await self.__anext__()]
        except StopAsyncIteration:
            return []

    def tap(self, take: Callable[[Any], bool]) -> None:
        """See Stream; nothing is pushed here."""

    def cancel(self) -> None:
        """See Stream."""
        self._outlet.abandon(PlatformError(Reason.CANCELLED, "the caller has gone"))
        if self._task is not None and not self._task.done():
            self._task.cancel()


class InMemoryChannel:
    """Calls handlers directly; messages are copied as on a wire. `lose` and `restore` play the peer's death."""

    def __init__(
        self,
        handlers: Iterable[Handler],
        *,
        identity: str = "test",
        address: str = "in-memory",
        clock: Clock | None = None,
    ) -> None:
        self._dispatcher = Dispatcher(
            handlers, token="", clock=clock or SystemClock(), margin_seconds=0.0, default_seconds=None
        )
        self._identity, self._address = identity, address
        self._lost = False
        self._open: set[tuple[Outlet, asyncio.Task[None]]] = set()

    @property
    def address(self) -> str:
        """See Channel."""
        return self._address

    def lose(self) -> None:
        """The peer dies: open streams end with WORKER_LOST (started), new calls are refused (not started)."""
        self._lost = True
        for outlet, task in list(self._open):
            outlet.abandon(PlatformError(Reason.WORKER_LOST, "the peer's process has gone"))
            task.cancel()

    def restore(self) -> None:
        """The peer is back."""
        self._lost = False

    def _admit(self, path: str, timeout: float, metadata: Mapping[str, str] | None) -> tuple[Handler, CallInfo]:
        if self._lost:
            raise PlatformError(Reason.WORKER_LOST, "the peer cannot be reached", started=False)
        info = self._dispatcher.admit(path, self._identity, timeout, dict(metadata or {}))
        handler = self._dispatcher.find(path)
        assert handler is not None
        return handler, info

    async def call(
        self, method: Method[Req, Res], request: Req, *, timeout: float, metadata: Mapping[str, str] | None = None
    ) -> Res:
        """See Channel."""
        handler, info = self._admit(method.path, timeout, metadata)
        copy = method.request.FromString(request.SerializeToString())
        answer: Res = await self._dispatcher.run(info, lambda: handler.serve(copy, info))  # type: ignore[call-arg, arg-type]
        return answer

    def stream(
        self, method: Method[Req, Res], request: Req, *, timeout: float, metadata: Mapping[str, str] | None = None
    ) -> InMemoryStream[Res]:
        """See Channel."""
        outlet = Outlet()
        try:
            handler, info = self._admit(method.path, timeout, metadata)
        except PlatformError as error:
            return InMemoryStream(outlet, method.response.FromString, None, error)
        copy = method.request.FromString(request.SerializeToString())
        task = serve_into(outlet, self._dispatcher, handler, copy, info)
        entry = (outlet, task)
        self._open.add(entry)
        task.add_done_callback(lambda done: self._over(entry, done))
        return InMemoryStream(outlet, method.response.FromString, task)

    def _over(self, entry: tuple[Outlet, asyncio.Task[None]], done: asyncio.Task[None]) -> None:
        self._open.discard(entry)
        if not done.cancelled():
            # Read here: a caller that was told by the outlet (deadline, loss) does not ask the task again.
            done.exception()

    async def close(self) -> None:
        """See Channel."""
        self.lose()
