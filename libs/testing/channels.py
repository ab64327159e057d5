"""Handlers behind any kind of channel, for contract tests: the same checks on stock gRPC, the trunk and in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Literal

from libs.clock import SystemClock
from libs.rpc.api import Channel, Handler
from libs.rpc.dial import Transport, dial
from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from libs.rpc.trunk.client import TrunkChannel
from libs.rpc.trunk.limits import TrunkLimits
from libs.testing.inmem import InMemoryChannel

Kind = Literal["grpc", "trunk", "inmem"]
TOKEN = "contract-token"  # noqa: S105 - a test's own


@dataclass
class Served:
    """A live server and how to reach it; tests may put another server in its place."""

    server: RpcServer

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server.port}"

    async def stop(self) -> None:
        """Cuts everything, and waits for gRPC's own tasks, which hear of it in the loop's next turns."""
        with contextlib.suppress(asyncio.CancelledError):
            await self.server.stop()
        await grpc_settled()

    def dial(
        self, transport: Transport, *, token: str = TOKEN, identity: str = "gateway", sockets: bool = True
    ) -> Channel:
        """A new channel; the caller closes it. Without `sockets`, a trunk stays on its gRPC stream."""
        if transport == "trunk" and not sockets:
            return TrunkChannel(self.address, identity=identity, token=token, sockets=False)
        return dial(self.address, transport, identity=identity, token=token)


async def grpc_settled(seconds: float = 2.0) -> None:
    """Returns when no task of gRPC's (they have no Python frame) is left on this loop, or the time is over."""
    until = asyncio.get_running_loop().time() + seconds
    while any("cython" in repr(task.get_coro()) for task in asyncio.all_tasks()):
        if asyncio.get_running_loop().time() > until:
            return
        await asyncio.sleep(0.001)


async def start(handlers: Iterable[Handler], *, port: int = 0, limits: TrunkLimits | None = None) -> Served:
    """Starts a server on loopback; the caller stops it."""
    settings = RpcServerSettings(port=port, reflection=True)
    server = RpcServer("peer", handlers, settings, clock=SystemClock(), token=TOKEN, limits=limits)
    await server.start()
    await server.set_serving(serving=True)
    return Served(server)


@contextlib.asynccontextmanager
async def connected(kind: Kind, handlers: Iterable[Handler], *, identity: str = "gateway") -> AsyncIterator[Channel]:
    """A channel of that kind onto the handlers; everything is closed at the end. Needs a real loop unless inmem."""
    if kind == "inmem":
        channel: Channel = InMemoryChannel(handlers, identity=identity)
        yield channel
        await channel.close()
        return
    served = await start(handlers)
    channel = served.dial(kind, identity=identity)
    try:
        yield channel
    finally:
        await channel.close()
        await served.stop()
