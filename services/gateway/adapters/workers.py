"""Inference workers, over libs.rpc: one channel per address, dialled when first used, closed when long unused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.descriptor import ServiceDescriptor
from headrace.inference.v1 import inference_pb2

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.rpc.api import Channel, Stream
from libs.rpc.method import method
from services.gateway import convert
from services.gateway.domain.plan import Candidate
from services.gateway.domain.work import Attempt, Work
from services.gateway.ports import Metadata

_SERVICE: ServiceDescriptor = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"]
GENERATE = method(_SERVICE, "Generate", inference_pb2.GenerateRequest, inference_pb2.GenerateResponse)
DESCRIBE = method(_SERVICE, "DescribeModel", inference_pb2.DescribeModelRequest, inference_pb2.DescribeModelResponse)

Dial = Callable[[str], Channel]


@dataclass(slots=True)
class _Pooled:
    channel: Channel
    # No call on this channel can outlive this moment: every call has a deadline.
    busy_until: float


class Channels:
    """Channels by address. `idle_seconds` after the last possible call one is closed: its worker has gone, or rests."""

    def __init__(self, dial: Dial, clock: Clock, idle_seconds: float = 60.0) -> None:
        self._dial = dial
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._pool: dict[str, _Pooled] = {}

    def get(self, address: str, timeout: float) -> Channel:
        """The channel to `address`, for a call of at most `timeout` seconds."""
        until = self._clock.monotonic() + timeout
        pooled = self._pool.get(address)
        if pooled is None:
            pooled = self._pool[address] = _Pooled(self._dial(address), until)
        elif pooled.busy_until < until:
            pooled.busy_until = until
        return pooled.channel

    async def sweep(self) -> None:
        """Closes channels that have been idle for long enough."""
        limit = self._clock.monotonic() - self._idle_seconds
        idle = [address for address, pooled in self._pool.items() if pooled.busy_until < limit]
        await asyncio.gather(*[self._pool.pop(address).channel.close() for address in idle])

    async def keep_swept(self) -> None:
        """Sweeps for ever; run it as a task."""
        while True:
            await self._clock.sleep(self._idle_seconds)
            await self.sweep()

    async def close(self) -> None:
        """Closes all. A repeat does nothing."""
        pool, self._pool = self._pool, {}
        await asyncio.gather(*[pooled.channel.close() for pooled in pool.values()])


class RpcWorkers:
    """See ports.Workers."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    def generate(
        self, candidate: Candidate, work: Work, attempt: Attempt, *, timeout: float, metadata: Metadata
    ) -> Stream[inference_pb2.GenerateResponse]:
        """See ports.Workers."""
        request = convert.generate_request(work, attempt)
        channel = self._channels.get(candidate.address, timeout)
        return channel.stream(GENERATE, request, timeout=timeout, metadata=metadata)

    async def lives(self, address: str, boot_id: str, *, timeout: float) -> bool:
        """See ports.Workers."""
        try:
            return await self._life(address, timeout) == boot_id
        except PlatformError:
            return False

    async def died(self, address: str, boot_id: str, *, timeout: float) -> bool:
        """See ports.Workers."""
        try:
            return await self._life(address, timeout) != boot_id
        except PlatformError as error:
            return error.reason is Reason.WORKER_LOST and not error.started

    async def _life(self, address: str, timeout: float) -> str:
        channel = self._channels.get(address, timeout)
        described = await channel.call(DESCRIBE, inference_pb2.DescribeModelRequest(), timeout=timeout)
        return described.boot_id
