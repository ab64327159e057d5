"""The jobs service over RPC: any replica, in the name of the caller that this gateway has authenticated."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from google.protobuf import message_factory
from google.protobuf.message import Message
from headrace.gateway.v1 import work_pb2
from headrace.jobs.v1 import jobs_pb2

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.rpc.api import Channel
from libs.rpc.method import Method, method
from libs.rpc.replicas import ReplicaRule, ReplicatedChannel
from services.gateway.domain.accounts.records import Role
from services.gateway.domain.turns import Principal

SERVICE = jobs_pb2.DESCRIPTOR.services_by_name["JobService"]
CALLER_KEY = "x-headrace-caller"
IDEMPOTENCY_KEY = "idempotency-key"
# The edge failed, whatever the service thinks; the caller's own key was checked by this gateway.
_EDGE = frozenset(
    {
        Reason.WORKER_LOST,
        Reason.CANCELLED,
        Reason.DRAINING,
        Reason.UNIMPLEMENTED,
        Reason.PERMISSION_DENIED,
        Reason.SLOW_READER,
    }
)
# One replica's time for a read, and for accepting a job of a thousand requests, while there are others to ask.
_READ = ReplicaRule(patience_seconds=1.0)
_ACCEPT = ReplicaRule(patience_seconds=30.0)


class RpcJobs:
    """See ports.jobs.JobService. `channels` are the replicas', and are closed with it."""

    def __init__(self, channels: Sequence[Channel], clock: Clock, random: Callable[[], float]) -> None:
        self._channels = channels
        self._reads = ReplicatedChannel(channels, clock, _READ, random=random)
        self._accepts = ReplicatedChannel(channels, clock, _ACCEPT, random=random)
        self._methods = {name: _method(name) for name in SERVICE.methods_by_name}

    async def call(self, name: str, request: Message, principal: Principal, *, timeout: float, key: str = "") -> Any:
        """See JobService."""
        channel = self._accepts if key else self._reads
        try:
            return await channel.call(
                self._methods[name], request, timeout=timeout, metadata=metadata_of(principal, key)
            )
        except PlatformError as error:
            raise as_jobs_error(error) from error.__cause__

    async def stream(
        self, name: str, request: Message, principal: Principal, *, timeout: float
    ) -> AsyncGenerator[Any, None]:
        """See JobService."""
        stream = self._reads.stream(self._methods[name], request, timeout=timeout, metadata=metadata_of(principal))
        try:
            async for response in stream:
                yield response
        except PlatformError as error:
            if error.reason is Reason.DEADLINE_EXCEEDED:
                raise
            raise as_jobs_error(error) from error.__cause__
        finally:
            stream.cancel()

    async def close(self) -> None:
        """Closes the channels."""
        for channel in self._channels:
            await channel.close()


def _method(name: str) -> Method[Any, Any]:
    found = SERVICE.methods_by_name[name]
    request, response = (message_factory.GetMessageClass(kind) for kind in (found.input_type, found.output_type))
    return method(SERVICE, name, request, response)


def metadata_of(principal: Principal, key: str = "") -> Mapping[str, str]:
    """Who calls, as the jobs service takes it from gateways only."""
    caller = work_pb2.Caller(
        tenant=principal.tenant,
        key_id=principal.key_id,
        user=principal.account_user,
        manages_tenant=principal.role in (Role.ADMIN, Role.TENANT_ADMIN),
    )
    metadata = {CALLER_KEY: base64.b64encode(caller.SerializeToString()).decode()}
    if key:
        metadata[IDEMPOTENCY_KEY] = key
    return metadata


def as_jobs_error(error: PlatformError) -> PlatformError:
    """What a failure on the way to the jobs service means for a client."""
    if error.reason not in _EDGE and error.reason is not Reason.DEADLINE_EXCEEDED:
        return error
    message = f"The jobs service does not answer ({error.reason}). Try again shortly; jobs that were accepted go on."
    told = PlatformError(Reason.JOBS_UNAVAILABLE, message, retry_after_seconds=1.0)
    told.__context__ = error
    return told
