"""The REST port: uvicorn inside the service's own event loop, signals and stop order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from libs.errors import PlatformError, Reason
from services.gateway.api.connection import Connection, ConnectionLimits, protocol_class
from services.gateway.api.rest import Application


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the service has its own, and its own order of stopping.

    Its tick, ten times a second, looks after clients that do not send what they began.
    """

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.look(now)
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class RestServer:
    """Serves an ASGI application on one port."""

    def __init__(
        self, app: Application, host: str, port: int, *, limits: ConnectionLimits, backlog: int = 2048
    ) -> None:
        self._host, self._port = host, port
        self._config = uvicorn.Config(
            app,
            http=protocol_class(limits),
            loop="none",
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # The client's address is used for nothing here; believing a header would cost each request and gain none.
            proxy_headers=False,
            backlog=backlog,
            h11_max_incomplete_event_size=None,
        )
        self._server = _Server(self._config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Binds and accepts; returns the port. Raises PlatformError when the address is taken."""
        listener = _bind(self._host, self._port)
        port: int = listener.getsockname()[1]
        self._task = asyncio.get_running_loop().create_task(self._server.serve([listener]), name="rest")
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise PlatformError(Reason.INTERNAL, "The REST server ended while it started; see the log.")
            await asyncio.sleep(0)
        return port

    async def drain(self, grace_seconds: float) -> None:
        """Accepts nothing more, lets running requests finish within the grace, and closes. A repeat does nothing."""
        task, self._task = self._task, None
        if task is None:
            return
        self._config.timeout_graceful_shutdown = max(1, round(grace_seconds))
        self._server.should_exit = True
        await task


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as problem:
        listener.close()
        raise PlatformError(
            Reason.INVALID_REQUEST,
            f"cannot listen on {host}:{port} ({problem.strerror}): stop what has the port, or set --rest.port",
        ) from problem
    # Accepted sockets inherit it where the loop does not set it: a delta must not wait for the last one's ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
