"""The one server builder: health, reflection, token, deadlines, limits and a graceful stop for every service."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import grpc
import grpc.aio
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.rpc.api import Handler
from libs.rpc.dispatch import CallHook, Dispatcher
from libs.rpc.grpc_handlers import DispatchingHandler
from libs.rpc.settings import RpcServerSettings, channel_options
from libs.rpc.trunk.gauges import Trunks
from libs.rpc.trunk.limits import TrunkLimits
from libs.rpc.trunk.server import TrunkAcceptor

_LAST_BYTES_SECONDS = 1.0


class RpcServer:
    """Serves handlers on one port. NOT_SERVING until `set_serving(True)`."""

    def __init__(
        self,
        identity: str,
        handlers: Iterable[Handler],
        settings: RpcServerSettings,
        *,
        clock: Clock,
        token: str = "",
        hooks: Sequence[CallHook] = (),
        limits: TrunkLimits | None = None,
        trunks: Trunks | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._inside = bool(token)
        self._handlers = list(handlers)
        self._dispatcher = Dispatcher(
            self._handlers,
            token=token,
            clock=clock,
            margin_seconds=settings.deadline_margin_seconds,
            default_seconds=settings.deadline_default_seconds,
            hooks=hooks,
        )
        self._calls = DispatchingHandler(self._dispatcher)
        trunk_limits = limits or TrunkLimits(calls_max=settings.calls_max)
        self._trunks = TrunkAcceptor(identity, self._dispatcher, trunk_limits, trunks)
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def start(self) -> int:
        """Binds and serves; returns the port. Raises PlatformError when the address is taken."""
        settings = self._settings
        options = channel_options(settings.message_bytes_max, settings.metadata_bytes_max, settings.keepalive_seconds)
        server = grpc.aio.server(options=options, maximum_concurrent_rpcs=settings.calls_max)
        # A public port has no token, and strangers get no trunk: it would let one connection hold many calls.
        server.add_generic_rpc_handlers((self._calls, self._trunks) if self._inside else (self._calls,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if settings.reflection:
            names = {handler.method.path.split("/")[1] for handler in self._handlers}
            services = (*sorted(names), reflection.SERVICE_NAME, health.SERVICE_NAME)
            reflection.enable_server_reflection(services, server, pool=descriptor_pool.Default())
        try:
            self.port = server.add_insecure_port(f"{settings.host}:{settings.port}")
        except RuntimeError as error:
            message = f"cannot listen on {settings.host}:{settings.port}: another process has the port; set another one"
            raise PlatformError(Reason.INVALID_REQUEST, message) from error
        await self.set_serving(serving=False)
        await server.start()
        self._server = server
        if self._inside and settings.trunk_port is not None:
            await self._open_door(settings.host, settings.trunk_port)
        return self.port

    async def _open_door(self, host: str, port: int) -> None:
        try:
            await self._trunks.open_door(host.strip("[]"), port)
        except OSError as error:
            await self.stop()
            message = f"cannot listen on {host}:{port} for trunks ({error.strerror}): set another trunk_port"
            raise PlatformError(Reason.INVALID_REQUEST, message) from error

    async def set_serving(self, *, serving: bool) -> None:
        """Answers health checks with SERVING or NOT_SERVING, for the whole server and each service."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *{handler.method.path.split("/")[1] for handler in self._handlers}):
            await self._health.set(name, status)

    @property
    def open_calls(self) -> int:
        """Calls running now, on both transports."""
        return self._calls.running + self._trunks.open_calls

    async def drain(self, grace_seconds: float, *, hand_over: bool = False) -> None:
        """NOT_SERVING, no new calls, running ones get the grace; returns when they have ended or it is over.

        `hand_over` asks trunk peers to move their streams elsewhere at once.
        """
        await self.set_serving(serving=False)
        self._trunks.close_door()
        if self._server is not None:
            began = self._clock.monotonic()
            await self._trunks.drain(grace_seconds, hand_over=hand_over)
            # Ordinary calls need what is left of the grace; trunks that have ended, a moment for their last bytes.
            left = max(0.0, grace_seconds - (self._clock.monotonic() - began))
            await self._server.stop(left if self._calls.running else min(left, _LAST_BYTES_SECONDS))

    async def stop(self) -> None:
        """Cuts what runs. A repeat does nothing."""
        server, self._server = self._server, None
        self._trunks.close_door()
        if server is not None:
            await server.stop(None)
            await asyncio.sleep(0)
