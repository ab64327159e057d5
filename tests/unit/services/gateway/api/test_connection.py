"""Clients that connect too often, or begin and do not go on."""

from __future__ import annotations

import asyncio

import pytest
from headrace.inference.v1.inference_pb2 import FINISH_REASON_STOP, GenerateResponse

from libs.testing.loop import run_real
from services.gateway.api.chat_route import ChatRouteLimits
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


def answer_to(request, request_id):
    """Says what it was asked, in three writes."""
    text = request.turns[0].text
    end = [Delta(GenerateResponse(finish=FINISH_REASON_STOP)), ended(request)]
    return [[started(request, request_id), Delta(GenerateResponse(text=text))], 0.15, end]


@pytest.mark.parametrize("late", [False, True], ids=["in one segment", "in mid-answer"])
@pytest.mark.parametrize("stream", [False, True])
def test_requests_that_come_behind_each_other_are_answered_in_order_each_with_its_own(wire, late, stream):
    def request(text, *more):
        body = {**wire.body, "stream": stream, "messages": [{"role": "user", "content": text}]}
        return wire.request_bytes(body, headers=[f"x-session-id: {text}", *more])

    async def scenario():
        async with public_face(ScriptedPipeline(answer_to)) as face:
            reader, writer = await asyncio.open_connection("127.0.0.1", face.port)
            writer.write(request("one"))
            if late:
                await asyncio.sleep(0.05)
            writer.write(request("two", "connection: close"))
            raw = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            return raw

    first, _, second = run_real(scenario()).partition(b"HTTP/1.1 200 OK\r\n")[2].partition(b"HTTP/1.1 200 OK\r\n")
    for raw, text, other in ((first, b"one", b"two"), (second, b"two", b"one")):
        assert b"x-session-id: " + text in raw
        assert b'"content":"' + text in raw
        assert other not in raw
        assert raw.endswith(b"0\r\n\r\n") == stream


@pytest.mark.parametrize(
    "then", [b"\r\n", b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx"]
)
def test_a_connection_that_was_answered_and_then_says_nothing_whole_is_cut(wire, then):
    async def scenario():
        limits = ChatRouteLimits(body_timeout=0.2)
        connections = ConnectionLimits(header_seconds=0.1)
        async with public_face(ScriptedPipeline(), limits=limits, connections=connections) as face:
            reader, writer = await asyncio.open_connection("127.0.0.1", face.port)
            writer.write(wire.request_bytes(path="/nowhere"))
            await reader.readuntil(b"\r\n\r\n")
            writer.write(then)
            try:
                await asyncio.wait_for(reader.read(), 2.5)  # less than uvicorn's five seconds for idle ones
            except ConnectionError:
                return True
            finally:
                writer.close()
            return True

    assert run_real(scenario())


def test_a_head_that_comes_slowly_behind_a_running_answer_does_not_cut_it(wire):
    async def scenario():
        pipeline = ScriptedPipeline(
            lambda r, i: [[started(r, i), Delta(GenerateResponse(text="x"))], 1.5, [*answer_to(r, i)[2]]]
        )
        async with public_face(pipeline, connections=ConnectionLimits(header_seconds=0.1)) as face:
            reader, writer = await asyncio.open_connection("127.0.0.1", face.port)
            writer.write(wire.request_bytes({**wire.body, "stream": True}))
            await asyncio.sleep(0.05)
            writer.write(b"POST /v1/chat")
            raw = await asyncio.wait_for(reader.readuntil(b"[DONE]"), 4)
            writer.close()
            return raw

    assert b"[DONE]" in run_real(scenario())


def head(name_bytes, value_bytes, count=1):
    header = b"x" * name_bytes + b": " + b"v" * value_bytes + b"\r\n"
    return b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + header * count + b"\r\n"


@pytest.mark.parametrize("chunk", [1_000_000, 3_000], ids=["at once", "bit by bit"])
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head(10, 20_000), 200),
        (head(10, 70_000), 431),
        (head(70_000, 1), 431),
        (head(100, 100, 400), 431),
        (b"GET /healthz?x=" + b"y" * 70_000 + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 431),
        # Never ends, so what came is all there is to judge by.
        (head(10, 200_000)[:-4], 431),
    ],
    ids=["fits", "long value", "long name", "many", "long URL", "endless"],
)
def test_a_head_has_a_bound(wire, data, status, chunk):
    async def scenario():
        async with public_face(ScriptedPipeline()) as face:
            reader, writer = await asyncio.open_connection("127.0.0.1", face.port)
            try:
                for at in range(0, len(data), chunk):
                    writer.write(data[at : at + chunk])
                    await writer.drain()
                    # Lets the chunk arrive alone.
                    await asyncio.sleep(0.0005)
                return wire.parse(await asyncio.wait_for(reader.read(), 3))
            except ConnectionError:
                # Cut while it was still sending: then the reply may be lost on its way.
                return None
            finally:
                writer.close()

    reply = run_real(scenario())
    if status == 200 or reply is not None:
        assert reply.status == status
        assert status == 200 or "headers" in reply.json["error"]["message"]


def test_a_large_body_is_no_large_head(wire):
    async def scenario():
        async with public_face(ScriptedPipeline()) as face:
            return await wire.post(face.port, {"messages": [{"role": "user", "content": "x" * 500_000}]})

    assert run_real(scenario()).status == 200
