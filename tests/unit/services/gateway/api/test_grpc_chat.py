"""The public gRPC face: the same rules as REST, over the in-memory channel and a real port."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from headrace.common.v1.turns_pb2 import ROLE_TOOL, ROLE_USER, TOOL_MODE_NAMED, Tool, ToolChoice, Turn
from headrace.gateway.v1.chat_pb2 import ChatRequest, ChatResponse
from headrace.inference.v1.inference_pb2 import Guided, Sampling

from libs.clock import SystemClock
from libs.errors import PlatformError, Reason
from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from libs.telemetry.metrics import Registry
from libs.testing.loop import run_real
from services.gateway.adapters.accounts.memory import MemoryAccounts
from services.gateway.api.grpc_chat import CHAT, GrpcChat
from services.gateway.api.ports import Anonymous
from services.gateway.api.testing import ScriptedPipeline
from services.gateway.domain.accounts.records import Key, Tenant
from services.gateway.domain.auth import hash_key
from services.gateway.metrics import RestMetrics
from services.gateway.usecases.accounts.authenticator import KeyAuthenticator

HI = [Turn(role=ROLE_USER, text="hi")]


KEY = "sk-hr-" + "a" * 48


def guarded():
    key = Key(tenant="acme", id="key_1", hmac=hash_key(b"p", KEY))
    return KeyAuthenticator(MemoryAccounts(Tenant(id="acme"), key), SystemClock(), b"p")


async def served(pipeline, use, door=None):
    chat = GrpcChat(pipeline, door or Anonymous(), SystemClock(), RestMetrics(Registry()))
    settings = RpcServerSettings(deadline_default_seconds=60.0, reflection=True)
    server = RpcServer("gateway", [chat.handler()], settings, clock=SystemClock())
    port = await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_stream(CHAT.path, ChatRequest.SerializeToString, ChatResponse.FromString)
            return await use(call)
    finally:
        await server.stop()


def ask(pipeline=None, door=None, metadata=(), **fields):
    async def use(call):
        stream = call(ChatRequest(**{"model": "small", "messages": HI, **fields}), metadata=metadata)
        return [response async for response in stream]

    return run_real(served(pipeline or ScriptedPipeline(), use, door))


def refused(**more):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        ask(**more)
    return caught.value


def test_the_answer_streams_and_ends_with_usage_and_report():
    *deltas, last = ask(session_id="s", metadata=(("x-session-id", "t"),))
    assert [d.text for d in deltas] == ["Hello", " world"]
    assert {d.id for d in deltas} == {last.id}
    assert last.id.startswith("chatcmpl-")
    assert (last.usage.prompt_tokens, last.report.worker, last.report.session_id) == (100, "inference-0", "t")


def test_it_needs_a_key():
    assert refused(door=guarded()).code() is grpc.StatusCode.UNAUTHENTICATED
    assert refused(door=guarded(), metadata=(("authorization", "Bearer no"),)).code() is grpc.StatusCode.UNAUTHENTICATED
    pipeline = ScriptedPipeline()
    ask(pipeline, door=guarded(), metadata=(("authorization", f"Bearer {KEY}"),))
    assert pipeline.principals[0].tenant == "acme"


def test_everything_that_can_be_asked_arrives():
    pipeline = ScriptedPipeline()
    ask(
        pipeline,
        tools=[Tool(name="f", parameters_json="{}")],
        tool_choice=ToolChoice(mode=TOOL_MODE_NAMED, name="f"),
        sampling=Sampling(max_tokens=5, temperature=0, seed=3, stop=["x"], logprobs=2, n=2, logit_bias={4: -1}),
        guided=Guided(json_schema='{"type":"object"}'),
        user="u",
    )
    (request,) = pipeline.requests
    sampling = request.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.seed, sampling.top_p) == (5, 0.0, 3, None)
    assert (sampling.stop, sampling.logprobs, sampling.n, sampling.logit_bias) == (("x",), 2, 2, {4: -1.0})
    assert (request.tool_choice.mode, request.tool_choice.name, request.user) == ("named", "f", "u")
    assert request.guided.json_schema == '{"type":"object"}'


@pytest.mark.parametrize(
    "fields",
    [
        {"model": ""},
        {"messages": []},
        {"messages": [Turn(text="x")]},
        {"messages": [Turn(role=ROLE_TOOL, text="x")]},
        {"sampling": Sampling(temperature=3)},
        {"sampling": Sampling(n=99)},
        {"sampling": Sampling(stop_token_ids=[1])},
        {"sampling": Sampling(temperature=float("nan"))},
        {"guided": Guided(json_schema="[]")},
        {"guided": Guided(json_schema="{")},
        {"guided": Guided(regex="x")},
        {"tools": [Tool(name="f"), Tool(name="f")]},
        {"tools": [Tool()]},
        {"tools": [Tool(name="f", parameters_json="3")]},
        {"tool_choice": ToolChoice(mode=TOOL_MODE_NAMED, name="f")},
        {"session_id": "x" * 256},
    ],
)
def test_wrong_requests_are_invalid_arguments(fields):
    pipeline = ScriptedPipeline()
    assert refused(pipeline=pipeline, **fields).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not pipeline.requests


def test_the_pipelines_error_is_the_calls_error():
    error = refused(pipeline=ScriptedPipeline(lambda *_: [PlatformError(Reason.OVERLOADED, "Busy.")]))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_caller_that_goes_away_aborts_the_work():
    pipeline = ScriptedPipeline(lambda *_: [asyncio.Event()])

    async def use(call):
        stream = call(ChatRequest(model="small", messages=HI))
        reading = asyncio.ensure_future(stream.read())
        while not pipeline.running:
            await asyncio.sleep(0.005)
        stream.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        for _ in range(80):
            if pipeline.aborted:
                return
            await asyncio.sleep(0.005)
        raise AssertionError("not aborted at once")

    run_real(served(pipeline, use))
