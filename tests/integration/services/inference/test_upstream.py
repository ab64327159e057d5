"""The upstream engine behind the real handlers, against an endpoint on a real socket."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager

import pytest
from headrace.common.v1 import turns_pb2 as common_pb
from headrace.inference.v1 import inference_pb2 as pb

from libs.clock import SystemClock
from libs.errors import PlatformError, Reason
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run_real
from services.inference.adapters.engines import MessageSide
from services.inference.adapters.upstream.engine import UpstreamEngine
from services.inference.adapters.upstream.estimate import Estimate
from services.inference.adapters.upstream.settings import UpstreamSettings
from services.inference.api import COUNT, DESCRIBE_MODEL, FETCH_TOKENIZER, GENERATE
from services.inference.domain.cached_blocks import CachedBlocks
from services.inference.main import compose
from services.inference.settings import EngineSettings, InferenceSettings, ModelSettings
from tests.integration.services.inference.fake_endpoint import chunk, endpoint, sse
from tests.unit.services.inference.world import Joined

KEY = "sk-very-secret"
TURNS = [common_pb.Turn(role=common_pb.ROLE_USER, text="hello")]
USAGE = {
    "choices": [],
    "usage": {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 8}},
}


def asked(**fields):
    sampling = fields.pop("sampling", {})
    return pb.GenerateRequest(
        request_id="r-1",
        messages=pb.MessagesPrompt(turns=fields.pop("turns", TURNS)),
        sampling=pb.Sampling(max_tokens=50, **sampling),
        **fields,
    )


@asynccontextmanager
async def relay(**upstream):
    async with endpoint() as there:
        settings = InferenceSettings(
            engine=EngineSettings(kind="upstream"),
            model=ModelSettings(name="far"),
            upstream=UpstreamSettings(url=there.url, probe_seconds=0.02, **upstream),
        )
        engine = UpstreamEngine(settings.upstream, "far", KEY, SystemClock())
        side = MessageSide(engine, Estimate())
        blocks = CachedBlocks(settings.kv_events.blocks_max)
        worker = compose(settings, side, await engine.start(), clock=SystemClock(), boot_id="b", blocks=blocks)
        there.requests.clear()
        client = InMemoryChannel(worker.api.handlers())
        try:
            yield there, client, engine
        finally:
            await client.close()
            await engine.close()
            await asyncio.sleep(0)


async def all_of(client, request, timeout=10.0):
    return [response async for response in client.stream(GENERATE, request, timeout=timeout)]


def with_parts(parts, request=None, *, status=200, headers=None, **upstream):
    """(responses, endpoint) of one call."""

    async def scenario():
        async with relay(**upstream) as (there, client, _):
            there.status, there.headers, there.parts = status, headers or {}, parts
            return await all_of(client, request or asked()), there

    return run_real(scenario())


def error_of(parts, request=None, **options):
    with pytest.raises(PlatformError) as caught:
        with_parts(parts, request, **options)
    assert KEY not in str(caught.value)
    return caught.value


def test_text_and_usage_come_through_and_usage_is_last():
    responses, there = with_parts(
        [sse(chunk(role="assistant", content="hel"), chunk(content="lo"), chunk("stop"), USAGE)]
    )
    joined = Joined(responses)
    assert joined.text[0] == "hello"
    usage = responses[-1].usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.estimated) == (9, 4, 8, False)
    assert responses[-1].finish == pb.FINISH_REASON_STOP
    (path, headers, body) = there.requests[0]
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert body == {
        "model": "far",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 50,
    }


def test_without_usage_the_counts_are_marked():
    responses, _ = with_parts([sse(chunk(content="x"), chunk("length"))])
    assert responses[-1].usage.estimated
    assert responses[-1].finish == pb.FINISH_REASON_LENGTH


def test_every_field_that_is_asked_for_is_sent():
    request = asked(
        sampling={
            "temperature": 0.5,
            "seed": 3,
            "stop": ["x"],
            "n": 2,
            "logit_bias": {5: 1.0},
            "presence_penalty": 0.5,
        },
        tools=[common_pb.Tool(name="f", parameters_json='{"type":"object"}')],
        tool_choice=common_pb.ToolChoice(mode=common_pb.TOOL_MODE_NAMED, name="f"),
        guided=pb.Guided(json_schema='{"type":"object"}'),
        turns=[
            *TURNS,
            common_pb.Turn(
                role=common_pb.ROLE_ASSISTANT,
                tool_calls=[common_pb.ToolCall(id="c", name="f", arguments_json="{}")],
            ),
            common_pb.Turn(role=common_pb.ROLE_TOOL, tool_call_id="c", text="4"),
        ],
    )
    _, there = with_parts([sse(chunk("stop", 0), chunk("stop", 1))], request)
    body = there.requests[0][2]
    assert body["tools"][0]["function"]["name"] == "f"
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert body["messages"][2] == {"role": "tool", "content": "4", "tool_call_id": "c"}
    assert (body["temperature"], body["seed"], body["stop"], body["n"]) == (0.5, 3, ["x"], 2)
    assert body["logit_bias"] == {"5": 1.0}


def test_tool_calls_reasoning_and_choices_keep_their_places():
    piece = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": '{"a"'}}
    more = {"index": 0, "function": {"arguments": ":1}"}}
    parts = [
        sse(
            chunk(reasoning_content="hm"),
            chunk(tool_calls=[piece]),
            chunk(tool_calls=[more]),
            chunk(content="other", index=1),
            chunk("tool_calls"),
            chunk("stop", 1),
            USAGE,
        )
    ]
    responses, _ = with_parts(parts, asked(sampling={"n": 2}))
    joined = Joined(responses)
    assert joined.reasoning[0] == "hm"
    assert joined.arguments[0] == {0: ("call_1", "f", '{"a":1}')}
    assert joined.text[1] == "other"
    assert joined.finish == {0: pb.FINISH_REASON_TOOL_CALLS, 1: pb.FINISH_REASON_STOP}
    assert [r.HasField("usage") for r in responses].count(True) == 1


def test_events_may_be_cut_anywhere_and_carry_comments():
    data = b": ping\r\n\r\nevent: x\n" + sse(chunk(content="é😀"), chunk("stop")).replace(b"\n", b"\r\n")
    responses, _ = with_parts([data[i : i + 1] for i in range(len(data))])
    assert Joined(responses).text[0] == "é😀"


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"error": {"message": "no", "param": "stop", "code": None}}, Reason.INVALID_REQUEST),
        (400, {"error": {"message": "long", "code": "context_length_exceeded"}}, Reason.CONTEXT_LENGTH_EXCEEDED),
        (401, {"error": "bad key"}, Reason.UPSTREAM_ERROR),
        (404, {}, Reason.UPSTREAM_ERROR),
        (413, {}, Reason.PAYLOAD_TOO_LARGE),
        (500, {"error": {"message": "boom"}}, Reason.UPSTREAM_ERROR),
        (503, [], Reason.UPSTREAM_ERROR),
    ],
)
def test_refusals_keep_their_meaning(status, body, reason):
    error = error_of([json.dumps(body).encode()], status=status)
    assert (error.reason, error.started) == (reason, False)
    assert str(status) in error.message


def test_a_rate_limit_passes_its_retry_after_on():
    error = error_of([b'{"error":{"message":"slow down"}}'], status=429, headers={"Retry-After": "7"})
    assert (error.reason, error.retry_after_seconds, error.started) == (Reason.OVERLOADED, 7.0, False)
    assert "slow down" in error.message


def test_a_refusal_that_is_no_json_or_endless_is_still_a_refusal():
    assert error_of([b"<html>"], status=502).reason is Reason.UPSTREAM_ERROR
    assert error_of([b"x" * 60_000] * 10, status=500).reason is Reason.UPSTREAM_ERROR


@pytest.mark.parametrize(
    "parts",
    [
        [b"data: {not json}\n\n"],
        [sse([1, 2])],
        [sse({"choices": [{"delta": {"content": 5}}]})],
        [sse({"choices": "x"})],
        [sse(chunk(content="x"), {"error": {"message": "gpu on fire"}}, done=False)],
        [sse(chunk(content="x"), done=False)],
        [sse(chunk(content="x"), done=False), None],
        [b"data: " + b"x" * 5000],
    ],
)
def test_what_breaks_off_in_mid_stream_is_never_a_clean_end(parts):
    error = error_of(parts, line_bytes_max=1024)
    assert (error.reason, error.started) == (Reason.UPSTREAM_ERROR, True)


def test_a_silent_endpoint_is_cut():
    assert error_of([sse(chunk(content="x"), done=False), 5], idle_seconds=0.1).reason is Reason.UPSTREAM_ERROR


def test_a_caller_that_leaves_aborts_the_call_there():
    async def scenario():
        async with relay() as (there, client, engine):
            there.parts = [sse(chunk(content="x"), done=False), 30]
            stream = client.stream(GENERATE, asked(), timeout=60)
            await anext(stream)
            running = engine.load().running
            stream.cancel()
            began = time.monotonic()
            await asyncio.wait_for(there.aborted.wait(), 5)
            return running, engine.load().running, time.monotonic() - began

    running, after, seconds = run_real(scenario())
    assert (running, after) == (1, 0)
    assert seconds < 1.0


def test_so_does_one_that_leaves_before_the_first_byte():
    async def scenario():
        async with relay() as (there, client, engine):
            there.parts = [30]
            stream = client.stream(GENERATE, asked(), timeout=60)
            while not there.requests:
                await asyncio.sleep(0.001)
            stream.cancel()
            await asyncio.wait_for(there.aborted.wait(), 5)
            return engine.load().running

    assert run_real(scenario()) == 0


def test_connections_are_kept():
    async def scenario():
        async with relay() as (there, client, _):
            for _ in range(5):
                await all_of(client, asked())
            return there.connections

    assert run_real(scenario()) == 1


def test_beyond_its_limit_calls_are_refused():
    async def scenario():
        async with relay(running_max=1) as (there, client, _):
            there.parts = [sse(chunk(content="x"), done=False), 30]
            stream = client.stream(GENERATE, asked(), timeout=60)
            await anext(stream)
            with pytest.raises(PlatformError) as caught:
                await all_of(client, asked())
            stream.cancel()
            await asyncio.wait_for(there.aborted.wait(), 5)
            return caught.value

    error = run_real(scenario())
    assert (error.reason, error.started, error.retry_after_seconds) == (Reason.OVERLOADED, False, 1.0)


def test_an_endpoint_that_is_away_takes_the_worker_out_until_it_is_back():
    async def scenario():
        async with relay() as (there, client, engine):
            right = engine._client.base_url
            engine._client.base_url = "http://127.0.0.1:1/v1/"
            with pytest.raises(PlatformError) as caught:
                await all_of(client, asked())
            away = engine.load().healthy
            engine._client.base_url = right
            while not engine.load().healthy:
                await asyncio.sleep(0.005)
            return caught.value, away, there

    error, away, _ = run_real(scenario())
    assert (error.reason, error.started) == (Reason.UPSTREAM_ERROR, False)
    assert not away


def test_what_it_cannot_do_is_refused_here():
    no_tools = asked(tools=[common_pb.Tool(name="f")], tool_choice=common_pb.ToolChoice(mode=common_pb.TOOL_MODE_AUTO))
    assert error_of([], no_tools, tools=False).param == "tools"
    assert error_of([], asked(sampling={"logprobs": 1})).param == "logprobs"
    assert error_of([], asked(resume=pb.Resume(choices=[pb.ResumeChoice(token_ids=[1])]))).param == "resume"
    tokens = pb.GenerateRequest(request_id="r", tokens=pb.TokenPrompt(ids=[1]), sampling=pb.Sampling(max_tokens=1))
    assert error_of([], tokens).param == "prompt"


def test_it_describes_itself_and_estimates():
    async def scenario():
        async with relay() as (_, client, _):
            described = await client.call(DESCRIBE_MODEL, pb.DescribeModelRequest(), timeout=5)
            counted = await client.call(COUNT, pb.CountRequest(turns=TURNS), timeout=5)
            with pytest.raises(PlatformError) as caught:
                async for _ in client.stream(FETCH_TOKENIZER, pb.FetchTokenizerRequest(), timeout=5):
                    pass
            return described, counted, caught.value

    described, counted, error = run_real(scenario())
    assert described.capabilities.prompt == pb.PROMPT_FORM_MESSAGES
    assert described.tokenizer_digest == ""
    assert counted.estimated
    assert counted.tokens > 0
    assert error.reason is Reason.NOT_FOUND
