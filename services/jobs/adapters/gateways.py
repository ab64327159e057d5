"""The gateways' WorkService over RPC: any replica, for every call is idempotent by its reservation or key."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence

from headrace.gateway.v1 import work_pb2 as pb

from libs.clock import Clock
from libs.rpc.api import Channel
from libs.rpc.method import method
from libs.rpc.replicas import ReplicaRule, ReplicatedChannel
from libs.telemetry.tracing import inject
from services.jobs.convert import caller_message
from services.jobs.domain.job import Caller, Usage
from services.jobs.ports.neighbours import Again, Performed, Reserved

_SERVICE = pb.DESCRIPTOR.services_by_name["WorkService"]
RESERVE = method(_SERVICE, "Reserve", pb.ReserveRequest, pb.ReserveResponse)
RELEASE = method(_SERVICE, "Release", pb.ReleaseRequest, pb.ReleaseResponse)
PERFORM = method(_SERVICE, "Perform", pb.PerformRequest, pb.PerformResponse)
ABANDON = method(_SERVICE, "Abandon", pb.AbandonRequest, pb.AbandonResponse)

RELEASE_SECONDS = 10.0
ABANDON_SECONDS = 5.0
# One replica's time for counting a thousand long requests, while there are others to ask.
_RULE = ReplicaRule(patience_seconds=10.0)


class RpcGateways:
    """See ports.neighbours.Gateways. `channels` are the gateways', and are closed with it."""

    def __init__(
        self, channels: Sequence[Channel], clock: Clock, random: Callable[[], float], reserve_seconds: float
    ) -> None:
        self._channel = ReplicatedChannel(channels, clock, _RULE, random=random)
        self._reserve_seconds = reserve_seconds

    async def reserve(self, reservation: str, caller: Caller, works: Sequence[bytes], *, batch: bool) -> Reserved:
        """See Gateways."""
        request = pb.ReserveRequest(reservation=reservation, caller=caller_message(caller), batch=batch)
        for work in works:
            request.requests.add().MergeFromString(work)
        reply = await self._channel.call(RESERVE, request, timeout=self._reserve_seconds, metadata=inject())
        return Reserved(reply.reserved_nanodollars, tuple(reply.models))

    async def release(self, tenant: str, reservations: Sequence[str]) -> None:
        """See Gateways."""
        if reservations:
            request = pb.ReleaseRequest(tenant=tenant, reservations=reservations)
            await self._channel.call(RELEASE, request, timeout=RELEASE_SECONDS, metadata=inject())

    async def perform(
        self, tenant: str, reservation: str, work: bytes, key: str, *, timeout: float, again: Again | None = None
    ) -> AsyncGenerator[Performed, None]:
        """See Gateways."""
        request = pb.PerformRequest(tenant=tenant, reservation=reservation, key=key)
        request.work.MergeFromString(work)
        if again is not None:
            request.caller.CopyFrom(caller_message(again.caller))
            request.batch = again.batch
        stream = self._channel.stream(PERFORM, request, timeout=timeout, metadata=inject())
        try:
            async for news in stream:
                yield _performed(news)
        finally:
            stream.cancel()

    async def abandon(self, tenant: str, reservation: str, key: str) -> None:
        """See Gateways."""
        request = pb.AbandonRequest(tenant=tenant, reservation=reservation, key=key)
        await self._channel.call(ABANDON, request, timeout=ABANDON_SECONDS, metadata=inject())

    async def close(self) -> None:
        """Closes the channels."""
        await self._channel.close()


def _performed(news: pb.PerformResponse) -> Performed:
    if not news.HasField("outcome"):
        return Performed(tokens=news.completion_tokens)
    told = news.outcome
    usage = Usage(told.prompt_tokens, told.cached_tokens, told.completion_tokens, told.cost_nanodollars)
    return Performed(news.completion_tokens, told.status_code, told.body, told.request_id, usage, told.replayed)
