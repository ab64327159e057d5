"""Which way a trunk takes: a connection of its own where both sides can, its gRPC stream else."""

import asyncio
import contextlib
import socket

import grpc.aio
import pytest
from headrace.common.v1.trunk_pb2 import ConnectRequest, Frame, Hello
from headrace.inference.v1 import inference_pb2 as pb

from libs.clock import SystemClock
from libs.errors import PlatformError, Reason
from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from libs.rpc.trunk.client import PATH, TrunkChannel
from libs.rpc.trunk.limits import VERSION
from libs.rpc.trunk.sockets import FEATURE, SocketPipe
from libs.testing.loop import run_real

TOKEN = "contract-token"


async def served(neighbour, **settings):
    server = RpcServer("peer", neighbour.handlers(), RpcServerSettings(**settings), clock=SystemClock(), token=TOKEN)
    await server.start()
    return server


async def way(neighbour, server, host="127.0.0.1", **options):
    """Whether a call's trunk went over a connection of its own."""
    channel = TrunkChannel(f"{host}:{server.port}", identity="gateway", token=TOKEN, **options)
    try:
        assert (await channel.call(neighbour.count, pb.CountRequest(model="four"), timeout=5)).tokens == 4
        return isinstance(channel._link._pipe, SocketPipe)
    finally:
        await channel.close()
        await server.stop()


def test_it_moves_where_both_sides_can(neighbour):
    async def scenario():
        assert await way(neighbour, await served(neighbour))
        assert not await way(neighbour, await served(neighbour), sockets=False)
        assert not await way(neighbour, await served(neighbour, trunk_port=None))

    run_real(scenario())


def test_a_port_out_of_reach_leaves_it_on_its_stream(neighbour):
    async def scenario():
        server = await served(neighbour)
        server._trunks._door.close()
        await asyncio.sleep(0.01)
        assert not await way(neighbour, server)

    run_real(scenario())


def test_a_taken_port_is_refused_with_words(neighbour):
    async def scenario():
        first = await served(neighbour)
        with pytest.raises(PlatformError, match="set another trunk_port") as caught:
            await served(neighbour, trunk_port=first._trunks._door.port)
        assert caught.value.reason is Reason.INVALID_REQUEST
        await first.stop()

    run_real(scenario())


def test_a_peer_that_promises_to_come_and_does_not_is_dropped_and_dials_again(neighbour, monkeypatch):
    async def scenario():
        server = await served(neighbour)
        server._trunks._door.seconds = 0.05

        async def lost(*_args, **_more):
            return SocketPipe(1000)  # connected to nobody

        monkeypatch.setattr("libs.rpc.trunk.client.connect", lost)
        channel = TrunkChannel(f"127.0.0.1:{server.port}", identity="gateway", token=TOKEN)
        with pytest.raises(PlatformError) as caught:
            await channel.call(neighbour.count, pb.CountRequest(), timeout=3)
        assert caught.value.reason is Reason.WORKER_LOST
        monkeypatch.undo()
        while True:
            with contextlib.suppress(PlatformError):  # while the dial is backed off
                assert (await channel.call(neighbour.count, pb.CountRequest(model="four"), timeout=3)).tokens == 4
                break
            await asyncio.sleep(0.02)
        await channel.close()
        await server.stop()

    run_real(scenario())


def test_an_address_in_brackets_serves_trunks_too(neighbour):
    async def scenario():
        assert await way(neighbour, await served(neighbour, host="[::1]"), host="[::1]")

    if not socket.has_ipv6 or not _has_loopback_6():
        pytest.skip("no IPv6 here")
    run_real(scenario())


def _has_loopback_6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.mark.parametrize("goes", ["at once", "behind the second greeting"])
def test_a_peer_that_goes_in_the_middle_of_the_greeting_leaves_no_ticket(neighbour, goes):
    async def scenario():
        server = await served(neighbour)
        door = server._trunks._door
        door.seconds = 0.1
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call = channel.stream_stream(PATH)()
            hello = Hello(version=VERSION, identity="gateway", token=TOKEN, features=[FEATURE])
            await call.write(ConnectRequest(frames=[Frame(hello=hello)]).SerializeToString())
            await call.read()
            assert len(door._expected) == 1
            if goes != "at once":
                await call.write(ConnectRequest(frames=[Frame(hello=hello)]).SerializeToString())
        async with asyncio.timeout(3):
            while door._expected:
                await asyncio.sleep(0.01)
        await server.stop()

    run_real(scenario())
