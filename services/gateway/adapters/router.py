"""The router, over libs.rpc."""

from __future__ import annotations

from google.protobuf.descriptor import ServiceDescriptor
from headrace.router.v1 import router_pb2

from libs.errors import PlatformError, Reason
from libs.rpc.method import method
from libs.rpc.replicas import ReplicatedChannel
from services.gateway import convert
from services.gateway.domain.choose import Choices, ChooseQuery
from services.gateway.domain.plan import PlaceQuery, Plan
from services.gateway.ports import Metadata

_SERVICE: ServiceDescriptor = router_pb2.DESCRIPTOR.services_by_name["RouterService"]
CHOOSE = method(_SERVICE, "Choose", router_pb2.ChooseRequest, router_pb2.ChooseResponse)
PLACE = method(_SERVICE, "Place", router_pb2.PlaceRequest, router_pb2.PlaceResponse)
WATCH_MODELS = method(_SERVICE, "WatchModels", router_pb2.WatchModelsRequest, router_pb2.WatchModelsResponse)

# The edge failed, whatever the router thinks: none of these is about the client's call.
_EDGE = frozenset(
    {Reason.WORKER_LOST, Reason.CANCELLED, Reason.DRAINING, Reason.INVALID_API_KEY, Reason.PERMISSION_DENIED}
)


class RpcRouter:
    """See ports.Router."""

    def __init__(self, channel: ReplicatedChannel) -> None:
        self._channel = channel

    async def choose(self, query: ChooseQuery, *, timeout: float, metadata: Metadata) -> Choices:
        """See ports.Router."""
        request = convert.choose_request(query)
        try:
            response = await self._channel.keyed(_turn_key(query), CHOOSE, request, timeout=timeout, metadata=metadata)
        except PlatformError as error:
            raise as_router_error(error) from error.__cause__
        return convert.choices(response)

    async def place(self, query: PlaceQuery, *, timeout: float, metadata: Metadata) -> Plan:
        """See ports.Router."""
        request = convert.place_request(query)
        try:
            response = await self._channel.keyed(_key(query), PLACE, request, timeout=timeout, metadata=metadata)
        except PlatformError as error:
            raise as_router_error(error) from error.__cause__
        return convert.plan(response)

    def forget(self, query: PlaceQuery) -> None:
        """See ports.Router; nothing is remembered here."""


def _key(query: PlaceQuery) -> str:
    """Whose replica: a session tree's calls, and calls with the same beginning, meet where their caches are known."""
    return f"{query.tenant}\0{query.root_session or query.session or query.affinity_key}"


def _turn_key(query: ChooseQuery) -> str:
    """Whose replica: it remembers the session's tier."""
    return f"{query.tenant}\0{query.session or query.affinity_key}"


def as_router_error(error: PlatformError) -> PlatformError:
    """What a failure on the way to the router means for a client: no work began anywhere.

    It may be `error` itself, so it is not to be raised from it: an error that is its own cause has no first one.
    """
    if error.reason in _EDGE or error.reason is Reason.DEADLINE_EXCEEDED:
        message = f"The router does not answer ({error.reason}: {error.message}). Try again shortly."
        told = PlatformError(Reason.ROUTER_UNAVAILABLE, message, retry_after_seconds=1.0, started=False)
        told.__context__ = error
        return told
    error.started = False
    return error
