"""A stream that ends while its server drains arrives whole: the server may not stop under unwritten frames."""

import asyncio

import pytest
from headrace.inference.v1 import inference_pb2 as pb

# Long payloads go out in parts, one per message: the call is over for the handler long before its bytes are written.
COUNT = 2
TEXT = "x" * 1_000_000


def test_what_ends_during_a_drain_arrives_whole(wire, with_rig):
    async def scenario(rig):
        request = pb.GenerateRequest(model=TEXT, sampling=pb.Sampling(max_tokens=COUNT))
        stream = rig.channel.stream(rig.neighbour.generate, request, timeout=10)
        await rig.neighbour.started.wait()
        draining = asyncio.ensure_future(rig.server.drain(10))
        got = [response.first_index async for response in stream]
        await draining
        await rig.server.stop()
        assert got == list(range(COUNT))

    with_rig(wire, scenario)


@pytest.mark.parametrize("busy", [True, False])
def test_a_drain_ends_with_its_last_call_and_not_with_its_grace(busy, with_rig):
    async def scenario(rig):
        stream = None
        if busy:
            request = pb.GenerateRequest(model="t", sampling=pb.Sampling(max_tokens=3))
            stream = rig.channel.stream(rig.neighbour.generate, request, timeout=10)
            await rig.neighbour.started.wait()
        else:
            await rig.channel.call(rig.neighbour.count, pb.CountRequest(), timeout=5)
        async with asyncio.timeout(5):
            await rig.server.drain(60)
        if stream is not None:
            assert len([response async for response in stream]) == 3

    with_rig("trunk", scenario)
