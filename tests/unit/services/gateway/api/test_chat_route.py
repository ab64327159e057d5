"""The hot route over real sockets, byte for byte."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
from headrace.inference.v1.inference_pb2 import GenerateResponse

from libs.errors import PlatformError, Reason
from libs.testing.loop import run_real
from services.gateway.api.chat_route import ChatRouteLimits
from services.gateway.api.streamed import StreamTimes
from services.gateway.api.testing import ScriptedPipeline, ended, public_face, started, text_script
from services.gateway.events import Delta

# The promise is 100 ms, and it happens in one tick of the loop; the rest is for a machine that is busy with others.
AT_ONCE = 0.4
OVERLOADED = PlatformError(Reason.OVERLOADED, "Busy.", retry_after_seconds=0.25, started=False)
LOST = PlatformError(Reason.STREAM_INTERRUPTED, "The worker was lost.")


def delta(text: str) -> Delta:
    return Delta(GenerateResponse(text=text))


def test_a_stream_has_the_form_that_clients_rely_on(wire):
    async def scenario():
        async with public_face(ScriptedPipeline(text_script("Hel", "lo"))) as face:
            return await wire.post(face.port, {"stream": True})

    reply = run_real(scenario())
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["x-request-id"].startswith("chatcmpl-")
    assert reply.headers["x-headrace-worker"] == "inference-0"
    assert reply.headers["x-headrace-cached-tokens"] == "7"
    assert reply.headers["x-headrace-session-source"] == "affinity"
    assert "x-session-id" not in reply.headers
    assert all(line.startswith(b"data: ") or not line for line in reply.body.split(b"\n"))
    *chunks, done = reply.events
    assert done == "[DONE]"
    assert [c["choices"][0]["delta"] for c in chunks] == [
        {"role": "assistant", "content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None, None, "stop"]
    assert {c["id"] for c in chunks} == {reply.headers["x-request-id"]}
    assert all("usage" not in c for c in chunks)


def test_usage_comes_last_and_only_when_asked_for(wire):
    async def scenario():
        async with public_face(ScriptedPipeline()) as face:
            body = {"stream": True, "stream_options": {"include_usage": True}, "wobble": 1, "session_id": "s-1"}
            return await wire.post(face.port, body)

    reply = run_real(scenario())
    *chunks, usage, done = reply.events
    assert done == "[DONE]"
    assert all(c["usage"] is None for c in chunks)
    assert usage["choices"] == []
    assert usage["usage"]["prompt_tokens_details"] == {"cached_tokens": 7}
    assert usage["headrace"]["worker"] == "inference-0"
    assert usage["headrace"]["session"] == "s-1"
    assert usage["headrace"]["ignored_fields"] == ["wobble"]
    assert usage["headrace"]["timings"] == {"queued_ms": 0.0, "first_token_ms": 12.5, "total_ms": 20.0}
    assert reply.headers["x-session-id"] == "s-1"


def test_an_answer_that_is_not_streamed(wire):
    async def scenario():
        async with public_face(ScriptedPipeline()) as face:
            return await wire.post(face.port, {"wobble": 1})

    reply = run_real(scenario())
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-headrace-worker"] == "inference-0"
    body = reply.json
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "Hello world", "refusal": None}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["total_tokens"] == 102
    assert body["headrace"]["ignored_fields"] == ["wobble"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_refusal_before_the_first_delta_is_a_plain_error(wire, stream):
    async def scenario():
        async with public_face(ScriptedPipeline(lambda *_: [OVERLOADED])) as face:
            return await wire.post(face.port, {"stream": stream})

    reply = run_real(scenario())
    assert reply.status == 429
    assert reply.headers["retry-after"] == "1"
    assert reply.headers["retry-after-ms"] == "250"
    assert reply.headers["x-request-id"]
    assert reply.json == {
        "error": {"message": "Busy.", "type": "rate_limit_error", "param": None, "code": "overloaded"}
    }


@pytest.mark.parametrize("tail", [[LOST], []], ids=["error", "no end"])
def test_an_error_in_mid_stream_is_an_event_and_never_a_clean_end(wire, tail):
    async def scenario():
        pipeline = ScriptedPipeline(lambda r, i: [[started(r, i), delta("Hel")], *tail])
        async with public_face(pipeline) as face:
            return await wire.post(face.port, {"stream": True, "stream_options": {"include_usage": True}})

    reply = run_real(scenario())
    assert reply.status == 200
    assert reply.events[-1]["error"]["code"] == "stream_interrupted"
    assert b"[DONE]" not in reply.body
    assert all(e["choices"][0]["finish_reason"] is None for e in reply.events[:-1])


def test_a_whole_answer_that_breaks_off_is_an_error(wire):
    async def scenario():
        pipeline = ScriptedPipeline(lambda r, i: [[started(r, i), delta("Hel")]])
        async with public_face(pipeline) as face:
            return await wire.post(face.port)

    assert run_real(scenario()).json["error"]["code"] == "stream_interrupted"


def test_headers_wait_for_the_first_delta_and_are_then_committed_early_with_pings(wire):
    async def scenario(hold):
        times = StreamTimes(header_hold=hold, ping=0.05)
        pipeline = ScriptedPipeline(lambda r, i: [0.6, [started(r, i), delta("x"), ended(r)]])
        async with public_face(pipeline, limits=ChatRouteLimits(times=times)) as face:
            return await wire.post(face.port, {"stream": True, "session_id": "s"})

    early = run_real(scenario(0.05))
    assert early.body.count(b": ping\n\n") >= 2
    assert early.body.index(b": ping") < early.body.index(b"data:")
    assert early.headers["x-session-id"] == "s"
    assert "x-headrace-worker" not in early.headers
    assert early.events[-1] == "[DONE]"
    held = run_real(scenario(5.0))
    assert b": ping" not in held.body
    assert held.headers["x-headrace-worker"] == "inference-0"


def test_a_refusal_after_an_early_commit_is_an_error_event(wire):
    async def scenario():
        limits = ChatRouteLimits(times=StreamTimes(header_hold=0.03))
        async with public_face(ScriptedPipeline(lambda *_: [0.2, OVERLOADED]), limits=limits) as face:
            return await wire.post(face.port, {"stream": True})

    reply = run_real(scenario())
    assert reply.status == 200
    assert reply.events[-1]["error"]["code"] == "overloaded"


def reset(writer) -> None:
    """Closes as a killed process does: no farewell, RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("leave", [reset, lambda writer: writer.close()], ids=["reset", "close"])
@pytest.mark.parametrize("size", [1, 200_000], ids=["small", "large"])
def test_a_client_that_goes_away_before_the_first_token_aborts_the_work_within_100_ms(wire, stream, leave, size):
    async def scenario():
        pipeline = ScriptedPipeline(lambda *_: [asyncio.Event()])
        async with public_face(pipeline) as face:
            _, writer = await asyncio.open_connection("127.0.0.1", face.port)
            messages = [{"role": "user", "content": "x" * size}]
            writer.write(wire.request_bytes({**wire.body, "messages": messages, "stream": stream}))
            await wire.until(lambda: pipeline.running == 1)
            leave(writer)
            await wire.until(lambda: pipeline.aborted == 1, limit=AT_ONCE)

    run_real(scenario())


def test_a_client_that_goes_away_in_mid_stream_aborts_the_work(wire):
    async def scenario():
        pipeline = ScriptedPipeline(lambda r, i: [[started(r, i), delta("x")], asyncio.Event()])
        async with public_face(pipeline) as face:
            reader, writer = await asyncio.open_connection("127.0.0.1", face.port)
            writer.write(wire.request_bytes({**wire.body, "stream": True}))
            await reader.readuntil(b"data: ")
            reset(writer)
            await wire.until(lambda: pipeline.aborted == 1, limit=AT_ONCE)
            await wire.until(lambda: len(face.watch) == 0)

    run_real(scenario())


def test_a_slow_reader_has_a_bounded_buffer_and_is_then_cut(wire):
    made = []

    def endless(request, request_id):
        yield [started(request, request_id), delta("x")]
        while True:
            made.append(10_000)
            yield [delta("x" * made[-1])]

    async def scenario():
        pipeline = ScriptedPipeline(endless)
        limits = ChatRouteLimits(times=StreamTimes(write_stall=0.2))
        async with public_face(pipeline, limits=limits) as face:
            reader, writer = await asyncio.open_connection("127.0.0.1", face.port, limit=1000)
            try:
                writer.write(wire.request_bytes({**wire.body, "stream": True}))
                await wire.until(lambda: pipeline.aborted == 1)
                slow = face.registry.collector.get_sample_value("headrace_gateway_slow_readers_total")
                assert slow == 1
                # What the kernel holds for a socket is some megabytes.
                assert sum(made) < 32_000_000
                sent = len(await reader.read(50_000_000))
                assert sent < 50_000_000
            finally:
                writer.close()

    run_real(scenario())


def test_a_reader_that_is_merely_slow_is_not_cut(wire):
    """Negative control of the cut: what counts is not reading at all."""

    async def scenario():
        def script(r, i):
            return [[started(r, i), delta("x")], *[[delta("x" * 100_000)]] * 60, [ended(r)]]

        limits = ChatRouteLimits(times=StreamTimes(write_stall=1.0))
        async with public_face(ScriptedPipeline(script), limits=limits) as face:
            reader, writer = await asyncio.open_connection("127.0.0.1", face.port, limit=65_536)
            writer.write(wire.request_bytes({**wire.body, "stream": True}))
            got = b""
            while b"[DONE]" not in got[-300:]:
                part = await reader.read(65_536)
                assert part, "cut"
                got += part
                await asyncio.sleep(0.005)
            writer.close()

    run_real(scenario())
