"""Deltas that are written past the iterator, as the trunk offers them, beside those that come through it."""

from __future__ import annotations

import asyncio

from headrace.inference.v1.inference_pb2 import CHANNEL_REASONING, FINISH_REASON_STOP, GenerateResponse, ToolCallDelta

from libs.testing.loop import run_real
from services.gateway.api.chat_route import ChatRouteLimits
from services.gateway.api.connection import ConnectionLimits
from services.gateway.api.streamed import StreamTimes
from services.gateway.api.testing import ScriptedPipeline, ended, public_face, started
from services.gateway.events import Delta


def delta(text: str) -> Delta:
    return Delta(GenerateResponse(text=text))


def passing(text: str) -> GenerateResponse:
    """Offered to the socket past the iterator, as the trunk does."""
    return GenerateResponse(token_ids=[1], text=text)


def test_deltas_written_past_the_iterator_have_the_same_form_and_keep_their_place(wire):
    more = [passing("a"), [delta("b")], passing('"c"\n'), passing(""), passing("d")]
    called = GenerateResponse(token_ids=[1], tool_calls=[ToolCallDelta(id="t", name="f")])
    thought = GenerateResponse(token_ids=[1], text="hm", channel=CHANNEL_REASONING)

    def script(request, request_id):
        end = GenerateResponse(finish=FINISH_REASON_STOP)
        # The first one comes before the role was sent; a tool call and a thought are more than content.
        return [[started(request, request_id)], passing("0"), *more, called, thought, [Delta(end), ended(request)]]

    async def scenario():
        async with public_face(ScriptedPipeline(script)) as face:
            tool = {"type": "function", "function": {"name": "f"}}
            return await wire.post(face.port, {"stream": True, "tools": [tool]})

    reply = run_real(scenario())
    *chunks, done = reply.events
    assert done == "[DONE]"
    deltas = [c["choices"][0]["delta"] for c in chunks]
    assert deltas[0] == {"role": "assistant", "content": "0"}
    assert [d.get("content") for d in deltas[1:5]] == ["a", "b", '"c"\n', "d"]
    assert deltas[5]["tool_calls"][0]["id"] == "t"
    assert deltas[6:] == [{"reasoning_content": "hm"}, {}]
    assert all(set(c["choices"][0]) == {"index", "delta", "logprobs", "finish_reason"} for c in chunks)


def test_a_delta_past_the_iterator_waits_its_turn_behind_a_ping_and_a_slow_reader(wire):
    times = StreamTimes(header_hold=0.05, ping=0.05, write_stall=5.0)
    count, size = 200, 20_000

    def script(request, request_id):
        yield [started(request, request_id), delta("0 ")]
        yield 0.2  # pings go out meanwhile
        for number in range(1, count):
            yield passing(f"{number} " + "x" * size)
        yield [Delta(GenerateResponse(finish=FINISH_REASON_STOP)), ended(request)]

    async def scenario():
        face_limits = ChatRouteLimits(times=times)
        async with public_face(
            ScriptedPipeline(script), limits=face_limits, connections=ConnectionLimits(write_buffer_bytes=40_000)
        ) as face:
            reader, writer = await asyncio.open_connection("127.0.0.1", face.port, limit=1 << 24)
            writer.write(wire.request_bytes({**wire.body, "stream": True}))
            await asyncio.sleep(0.3)  # longer than the buffers last
            raw = await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 10)
            writer.close()
            await writer.wait_closed()
            return raw

    reply = wire.parse(run_real(scenario()))
    *chunks, done = reply.events
    assert done == "[DONE]"
    numbers = [int(c["choices"][0]["delta"]["content"].split()[0]) for c in chunks[:-1]]
    assert numbers == list(range(count))
    assert b": ping" in reply.body


def test_text_that_is_held_back_is_silence_and_brings_pings(wire):
    def script(request, request_id):
        yield [started(request, request_id), delta("x")]
        for _ in range(20):
            yield 0.02
            yield passing("")
        yield [Delta(GenerateResponse(finish=FINISH_REASON_STOP)), ended(request)]

    async def scenario():
        limits = ChatRouteLimits(times=StreamTimes(ping=0.05))
        async with public_face(ScriptedPipeline(script), limits=limits) as face:
            return await wire.post(face.port, {"stream": True})

    assert b": ping" in run_real(scenario()).body
