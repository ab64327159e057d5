"""Idempotency-Key on both public faces: headers, bodies, ids, and what is refused."""

from __future__ import annotations

import asyncio
import json

import grpc
import pytest
from headrace.common.v1.turns_pb2 import ROLE_USER, Turn
from headrace.gateway.v1.chat_pb2 import ChatRequest, ChatResponse
from headrace.inference.v1.inference_pb2 import FINISH_REASON_STOP, GenerateResponse

from libs.clock import SystemClock
from libs.errors import PlatformError, Reason
from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from libs.telemetry.metrics import Registry
from libs.testing.loop import run_real
from services.gateway.api.chat_route import ChatRouteLimits
from services.gateway.api.grpc_chat import CHAT, GrpcChat
from services.gateway.api.ports import Anonymous
from services.gateway.api.streamed import StreamTimes
from services.gateway.api.testing import ScriptedPipeline, ended, public_face, started
from services.gateway.events import Delta
from services.gateway.metrics import RestMetrics
from services.gateway.usecases.answer_log import LogTimes
from services.gateway.usecases.idempotent import KeyedChat
from services.gateway.usecases.maker import MakerMeans
from tests.unit.services.gateway.usecases.answers import MemoryAnswers

KEY = ("idempotency-key: key-1",)


def kept(pipeline):
    clock = SystemClock()
    return KeyedChat(MakerMeans(pipeline, MemoryAnswers(clock), clock, LogTimes(poll=0.01)))


async def served(use, pipeline=None, *, keyed=True, **options):
    """What `use(port, pipeline)` returns, with a public face that keeps answers."""
    pipeline = pipeline or ScriptedPipeline()
    chat = kept(pipeline) if keyed else None
    try:
        async with public_face(pipeline, keyed=chat, **options) as face:
            return await use(face.port, pipeline)
    finally:
        if chat is not None:
            await chat.close()


def waits_for(event):
    """An answer whose second half waits."""

    def script(request, request_id):
        first = Delta(GenerateResponse(first_index=0, token_ids=[0], text="Hello"))
        last = Delta(GenerateResponse(first_index=1, token_ids=[1], text=" world", finish=FINISH_REASON_STOP))
        return [[started(request, request_id), first], event, [last, ended(request, 2)]]

    return script


def test_a_whole_answer_is_repeated_byte_for_byte_with_its_id(wire):
    async def use(port, pipeline):
        replies = [await wire.post(port, headers=KEY) for _ in range(2)]
        return replies, len(pipeline.requests)

    (first, second), calls = run_real(served(use))
    assert calls == 1
    assert (first.status, second.status) == (200, 200)
    assert second.body == first.body
    assert first.json["id"] == first.headers["x-request-id"] != second.headers["x-request-id"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    for name in ("x-headrace-worker", "x-headrace-cached-tokens", "x-headrace-cost-usd"):
        assert second.headers[name] == first.headers[name]


def test_a_stream_is_replayed_as_a_stream(wire):
    async def use(port, pipeline):
        body = {"stream": True, "stream_options": {"include_usage": True}}
        return [await wire.post(port, body, headers=KEY) for _ in range(2)]

    first, second = run_real(served(use))
    assert second.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert second.headers["idempotent-replayed"] == "true"

    def said(reply):
        assert reply.events[-1] == "[DONE]"
        chunks = reply.events[:-1]
        return {c["id"] for c in chunks}, {c["created"] for c in chunks}, text(chunks), chunks[-1]["usage"]

    def text(chunks):
        return "".join(choice["delta"].get("content", "") for c in chunks for choice in c["choices"])

    assert said(second) == said(first)
    assert said(first)[2] == "Hello world"


def test_a_stream_attaches_to_one_that_runs(wire):
    async def use(port, pipeline):
        first = asyncio.create_task(wire.post(port, {"stream": True}, headers=KEY))
        await wire.until(lambda: pipeline.running)
        second = asyncio.create_task(wire.post(port, {"stream": True}, headers=KEY))
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(first, second)

    gate = asyncio.Event()
    pipeline = ScriptedPipeline(waits_for(gate))
    first, second = run_real(served(use, pipeline))
    assert len(pipeline.requests) == 1
    assert second.headers["idempotent-replayed"] == "true"
    assert second.events[-1] == first.events[-1] == "[DONE]"


def test_a_stream_that_waits_for_another_has_its_header_early_too(wire):
    async def use(port, pipeline):
        first = asyncio.create_task(wire.post(port, {"stream": True}, headers=KEY))
        await wire.until(lambda: pipeline.running)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(wire.request_bytes({**wire.body, "stream": True}, headers=KEY))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        gate.set()
        await first
        writer.close()
        await writer.wait_closed()
        return head

    def nothing_yet(request, request_id):
        return [gate, *waits_for(gate)(request, request_id)]

    gate = asyncio.Event()
    limits = ChatRouteLimits(times=StreamTimes(header_hold=0.05))
    head = run_real(served(use, ScriptedPipeline(nothing_yet), limits=limits))
    assert b"idempotent-replayed: true" in head.lower()


def test_a_client_that_goes_away_does_not_end_its_answer(wire):
    async def scenario():
        chat = kept(pipeline)
        async with public_face(pipeline, keyed=chat) as face:
            _, writer = await asyncio.open_connection("127.0.0.1", face.port)
            writer.write(wire.request_bytes({**wire.body, "stream": True}, headers=KEY))
            await wire.until(lambda: pipeline.running and len(face.watch))
            writer.close()
            await writer.wait_closed()
            await wire.until(lambda: not len(face.watch))
            gate.set()
            reply = await wire.post(face.port, {"stream": True}, headers=KEY)
        await chat.close()
        return reply

    gate = asyncio.Event()
    pipeline = ScriptedPipeline(waits_for(gate))
    reply = run_real(scenario())
    assert (reply.status, reply.headers["idempotent-replayed"]) == (200, "true")
    assert (len(pipeline.requests), pipeline.aborted) == (1, 0)


def test_another_body_is_422_in_openais_shape(wire):
    async def use(port, pipeline):
        await wire.post(port, headers=KEY)
        return await wire.post(port, {"temperature": 0.5}, headers=KEY), len(pipeline.requests)

    reply, calls = run_real(served(use))
    assert (reply.status, calls) == (422, 1)
    error = reply.json["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "idempotency_key_reused")
    assert error["param"] == "Idempotency-Key"


def test_a_call_that_was_refused_may_be_sent_again(wire):
    async def use(port, pipeline):
        refused = await wire.post(port, headers=KEY)
        pipeline.script = ScriptedPipeline().script
        return refused, await wire.post(port, {"temperature": 0.5}, headers=KEY)

    full = PlatformError(Reason.OVERLOADED, "full", retry_after_seconds=2.0, started=False)
    refused, again = run_real(served(use, ScriptedPipeline(lambda *_: [full])))
    assert (refused.status, refused.headers["retry-after"]) == (429, "2")
    assert (again.status, again.headers.get("idempotent-replayed")) == (200, None)


@pytest.mark.parametrize("value", ["", "x" * 256, "tab\there", "\xff\xfe"])
def test_what_is_no_key_is_400(wire, value):
    async def use(port, pipeline):
        return await wire.post(port, headers=(f"idempotency-key: {value}",)), len(pipeline.requests)

    reply, calls = run_real(served(use))
    assert (reply.status, reply.json["error"]["param"], calls) == (400, "Idempotency-Key", 0)


def test_without_a_store_a_key_is_not_ignored(wire):
    async def use(port, pipeline):
        return await wire.post(port, headers=KEY), len(pipeline.requests)

    reply, calls = run_real(served(use, keyed=False))
    assert (reply.status, calls) == (501, 0)


def test_a_defect_is_a_500_and_the_key_is_free(wire):
    async def use(port, pipeline):
        broken = await wire.post(port, headers=KEY)
        pipeline.script = ScriptedPipeline().script
        return broken, await wire.post(port, headers=KEY)

    def defect(request, request_id):
        raise ValueError("a defect")

    broken, again = run_real(served(use, ScriptedPipeline(defect)))
    assert broken.status == 500
    assert "a defect" not in json.dumps(broken.json)
    assert (again.status, again.headers.get("idempotent-replayed")) == (200, None)


def test_the_same_over_grpc():
    async def scenario():
        pipeline = ScriptedPipeline()
        chat = kept(pipeline)
        face = GrpcChat(pipeline, Anonymous(), SystemClock(), RestMetrics(Registry()), keyed=chat)
        server = RpcServer(
            "gateway", [face.handler()], RpcServerSettings(deadline_default_seconds=60.0), clock=SystemClock()
        )
        port = await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                call = channel.unary_stream(CHAT.path, ChatRequest.SerializeToString, ChatResponse.FromString)

                async def ask(text):
                    request = ChatRequest(model="small", messages=[Turn(role=ROLE_USER, text=text)])
                    return [response async for response in call(request, metadata=(("idempotency-key", "k"),))]

                first, second = await ask("hi"), await ask("hi")
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await ask("something else")
                return first, second, caught.value.code(), len(pipeline.requests)
        finally:
            await server.stop()
            await chat.close()

    first, second, code, calls = run_real(scenario())
    assert [r.text for r in second] == [r.text for r in first]
    assert {r.id for r in second} == {r.id for r in first}
    assert (first[-1].report.replayed, second[-1].report.replayed) == (False, True)
    assert (code, calls) == (grpc.StatusCode.FAILED_PRECONDITION, 1)
