"""What pools could take, from any router: each sees all workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from headrace.router.v1 import router_pb2 as pb

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.rpc.api import Channel
from libs.rpc.method import method
from libs.rpc.replicas import ReplicatedChannel
from services.jobs.ports.neighbours import Room

_SERVICE = pb.DESCRIPTOR.services_by_name["RouterService"]
WATCH_CAPACITY = method(_SERVICE, "WatchCapacity", pb.WatchCapacityRequest, pb.WatchCapacityResponse)

# A watch is made anew after so long, so that it does not stay with one router for ever.
WATCH_SECONDS = 3600.0
# A router speaks once a second: one that is silent for so long is left, though its connection stands.
SILENCE_SECONDS = 3.0


class RpcCapacity:
    """See ports.neighbours.Capacity. `channels` are the routers', and are closed with it."""

    def __init__(self, channels: Sequence[Channel], clock: Clock, random: Callable[[], float]) -> None:
        self._channel = ReplicatedChannel(channels, clock, random=random)

    async def watch(self, pool: str) -> AsyncGenerator[Room, None]:
        """See Capacity."""
        request = pb.WatchCapacityRequest(pool=pool)
        stream = self._channel.stream(WATCH_CAPACITY, request, timeout=WATCH_SECONDS)
        words = aiter(stream)
        try:
            while True:
                try:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        told = await anext(words)
                except TimeoutError:
                    message = f"The router was silent for {SILENCE_SECONDS:g} s. Another one is asked."
                    raise PlatformError(Reason.ROUTER_UNAVAILABLE, message) from None
                except StopAsyncIteration:
                    return
                yield Room(told.slots_idle, told.running, told.waiting, told.queue_wait_ms, told.workers)
        finally:
            stream.cancel()

    async def close(self) -> None:
        """Closes the channels."""
        await self._channel.close()
