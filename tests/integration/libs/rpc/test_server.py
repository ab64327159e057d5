"""What stock clients see of a port: its health over its life, and its methods where the settings show them."""

import asyncio

import grpc
import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from headrace.inference.v1 import inference_pb2 as pb

from libs.clock import SystemClock
from libs.rpc.api import Handler
from libs.rpc.method import method
from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from libs.testing.channels import Served
from libs.testing.loop import run_real

SERVICE = pb.DESCRIPTOR.services_by_name["InferenceService"]
COUNT = method(SERVICE, "Count", pb.CountRequest, pb.CountResponse)
NAMES = HealthCheckResponse.ServingStatus.Name


async def count(request, _):
    return pb.CountResponse()


def with_server(scenario, **settings):
    async def whole():
        server = RpcServer("peer", [Handler(COUNT, count)], RpcServerSettings(**settings), clock=SystemClock())
        await server.start()
        try:
            async with asyncio.timeout(20), grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                await scenario(server, channel)
        finally:
            await Served(server).stop()

    run_real(whole())


@pytest.mark.parametrize("service", ["", SERVICE.full_name])
def test_a_port_is_healthy_from_the_word_of_its_service_to_the_beginning_of_its_drain(service):
    async def scenario(server, channel):
        request = HealthCheckRequest(service=service)
        coders = {
            "request_serializer": HealthCheckRequest.SerializeToString,
            "response_deserializer": HealthCheckResponse.FromString,
        }
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch", **coders)(request)
        assert NAMES((await watch.read()).status) == "NOT_SERVING"
        await server.set_serving(serving=True)
        assert NAMES((await watch.read()).status) == "SERVING"
        draining = asyncio.ensure_future(server.drain(0.2))
        told = await asyncio.gather(watch.read(), return_exceptions=True)
        watch.cancel()
        await draining
        assert [NAMES(answer.status) for answer in told if isinstance(answer, HealthCheckResponse)] == ["NOT_SERVING"]

    with_server(scenario)


def test_methods_are_listed_where_the_settings_say_so_and_nowhere_else():
    async def listed(channel):
        asked = ServerReflectionStub(channel).ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")]))
        return [service.name async for answer in asked for service in answer.list_services_response.service]

    async def shown(_, channel):
        assert SERVICE.full_name in await listed(channel)

    async def hidden(_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await listed(channel)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    with_server(shown, reflection=True)
    with_server(hidden)
