"""Work that ends when its client goes away."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from libs.errors import PlatformError, Reason
from services.gateway.api.connection import Connection


class ClientGoneError(Exception):
    """The client went away; there is nobody to answer."""


class UntilGone:
    """A block that is cancelled in the tick in which its client goes away, and then raises ClientGoneError.

    Cancelled by anybody else (the server, when a stop has lasted too long) it raises PlatformError(DRAINING).
    """

    __slots__ = ("_connection", "_task")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._task = asyncio.current_task()

    def __enter__(self) -> Self:
        connection = self._connection
        connection.listen()
        if connection.lost:
            raise ClientGoneError
        connection.on_gone = self._task.cancel if self._task is not None else None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._connection.on_gone = None
        if kind is None or not issubclass(kind, asyncio.CancelledError):
            return
        if self._task is not None:
            self._task.uncancel()
        if self._connection.lost:
            raise ClientGoneError from error
        raise stopping() from error


def stopping() -> PlatformError:
    """The error of work that was cancelled because the gateway's grace to finish it is over."""
    return PlatformError(Reason.DRAINING, "The gateway is stopping. Send the request again.", retry_after_seconds=1.0)
