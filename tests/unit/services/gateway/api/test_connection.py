"""Clients that connect too often, or begin and do not go on."""

from __future__ import annotations

import asyncio

import pytest
from headrace.inference.v1.inference_pb2 import GenerateResponse

from libs.testing.loop import run_real
from services.gateway.api.connection import ConnectionLimits
from services.gateway.api.testing import ScriptedPipeline, ended, public_face, started
from services.gateway.events import Delta


@pytest.mark.parametrize(
    "begun", [b"", b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"], ids=["silent", "half a head"]
)
def test_a_client_that_never_sends_its_head_is_cut(wire, begun):
    async def scenario(limit):
        limits = ConnectionLimits(header_seconds=limit)
        async with public_face(ScriptedPipeline(), connections=limits) as face:
            reader, writer = await asyncio.open_connection("127.0.0.1", face.port)
            writer.write(begun)
            try:
                return await asyncio.wait_for(reader.read(), 2.5)
            except ConnectionError:
                return b""
            except TimeoutError:
                return b"still there"
            finally:
                writer.close()

    assert run_real(scenario(0.1)) == b""
    assert run_real(scenario(30.0)) == b"still there"


def test_a_connection_that_has_sent_its_head_is_not_cut_for_it(wire):
    async def scenario():
        pipeline = ScriptedPipeline(lambda r, i: [1.5, [started(r, i), Delta(GenerateResponse(text="x")), ended(r)]])
        async with public_face(pipeline, connections=ConnectionLimits(header_seconds=0.1)) as face:
            return await wire.post(face.port)

    assert run_real(scenario()).status == 200


def test_a_connection_beyond_the_limit_is_told_so(wire):
    async def scenario():
        async with public_face(ScriptedPipeline(), connections=ConnectionLimits(connections_max=1)) as face:
            _, first = await asyncio.open_connection("127.0.0.1", face.port)
            reader, second = await asyncio.open_connection("127.0.0.1", face.port)
            refused = wire.parse(await asyncio.wait_for(reader.read(), 3))
            for writer in (first, second):
                writer.close()
                await writer.wait_closed()
            await asyncio.sleep(0.05)
            return refused, await wire.post(face.port)

    refused, served = run_real(scenario())
    assert (refused.status, refused.json["error"]["code"]) == (503, "overloaded")
    assert served.status == 200
