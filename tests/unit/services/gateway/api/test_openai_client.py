"""The unmodified openai client against the real routes with a scripted pipeline."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from headrace.inference.v1.inference_pb2 import (
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    GenerateResponse,
    TokenLogprob,
    TokenLogprobs,
    ToolCallDelta,
)

from libs.errors import PlatformError, Reason
from libs.testing.loop import run_real
from services.gateway.api.testing import ScriptedPipeline, ended, public_face, started, text_script
from services.gateway.domain.turns import Guided
from services.gateway.events import Delta

HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def script(*deltas):
    def of(request, request_id):
        events = [Delta(GenerateResponse(**delta)) for delta in deltas]
        return [[started(request, request_id), *events, ended(request, len(deltas))]]

    return of


def with_client(pipeline, use, retries=0, **face_options):
    async def scenario():
        async with public_face(pipeline, **face_options) as face:
            client = openai.AsyncOpenAI(base_url=f"{face.base}/v1", api_key="sk-hr-x", max_retries=retries)
            try:
                return await use(client)
            finally:
                await client.close()
                # The client's pool closes its sockets in callbacks.
                await asyncio.sleep(0)

    return run_real(scenario())


def test_chat():
    async def use(client):
        return await client.chat.completions.create(model="small", messages=HI, extra_body={"session_id": "s"})

    answer = with_client(ScriptedPipeline(), use)
    assert answer.choices[0].message.content == "Hello world"
    assert answer.usage.prompt_tokens_details.cached_tokens == 7
    assert answer.headrace["session"] == "s"


def test_stream_with_usage():
    async def use(client):
        stream = await client.chat.completions.create(
            model="small", messages=HI, stream=True, stream_options={"include_usage": True}
        )
        return [chunk async for chunk in stream]

    chunks = with_client(ScriptedPipeline(text_script("a", "b")), use)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "ab"
    assert chunks[-1].usage.completion_tokens == 2
    assert chunks[-1].headrace["worker"] == "inference-0"


@pytest.mark.parametrize("stream", [True, False])
def test_tools(stream):
    pieces = (
        {"tool_calls": [ToolCallDelta(index=0, id="c1", name="f", arguments='{"x"')]},
        {"tool_calls": [ToolCallDelta(index=0, arguments=":1}")]},
        {"finish": FINISH_REASON_TOOL_CALLS},
    )

    async def use(client):
        asked = {"model": "small", "messages": HI, "tools": [TOOL], "tool_choice": "required"}
        if not stream:
            return await client.chat.completions.create(**asked)
        async with client.chat.completions.stream(**asked) as events:
            return await events.get_final_completion()

    pipeline = ScriptedPipeline(script(*pieces))
    (choice,) = with_client(pipeline, use).choices
    (call,) = choice.message.tool_calls
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == ("c1", "f", {"x": 1})
    assert choice.finish_reason == "tool_calls"
    assert pipeline.requests[0].tool_choice.mode == "required"


def test_structured_answers():
    async def use(client):
        schema = {"name": "n", "schema": {"type": "object"}}
        form = {"type": "json_schema", "json_schema": schema}
        return await client.chat.completions.create(model="small", messages=HI, response_format=form)

    pipeline = ScriptedPipeline()
    with_client(pipeline, use)
    assert pipeline.requests[0].guided == Guided(json_schema='{"type":"object"}')


def test_logprobs():
    position = TokenLogprobs(top=[TokenLogprob(token_id=1, token=b"a", logprob=-1.0)])

    async def use(client):
        return await client.chat.completions.create(model="small", messages=HI, logprobs=True, top_logprobs=1)

    answer = with_client(
        ScriptedPipeline(script({"text": "a", "logprobs": [position], "finish": FINISH_REASON_STOP})), use
    )
    (token,) = answer.choices[0].logprobs.content
    assert (token.token, token.bytes, token.top_logprobs[0].logprob) == ("a", [97], -1.0)


def test_raw_response_shows_the_headers():
    async def use(client):
        return await client.chat.completions.with_raw_response.create(model="small", messages=HI)

    raw = with_client(ScriptedPipeline(), use)
    assert raw.headers["x-headrace-worker"] == "inference-0"
    assert raw.headers["x-request-id"] == raw.parse().id


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.INVALID_REQUEST, openai.BadRequestError),
        (Reason.INVALID_API_KEY, openai.AuthenticationError),
        (Reason.MODEL_NOT_FOUND, openai.NotFoundError),
        (Reason.OVERLOADED, openai.RateLimitError),
        (Reason.RATE_LIMITED, openai.RateLimitError),
        (Reason.INSUFFICIENT_QUOTA, openai.RateLimitError),
        (Reason.BUDGET_EXCEEDED, openai.RateLimitError),
        (Reason.MODEL_NOT_ALLOWED, openai.PermissionDeniedError),
        (Reason.STORE_UNAVAILABLE, openai.InternalServerError),
        (Reason.NO_WORKER, openai.InternalServerError),
    ],
)
def test_errors_become_the_clients_own(reason, kind):
    async def use(client):
        with pytest.raises(kind) as caught:
            await client.chat.completions.create(model="small", messages=HI)
        return caught.value

    error = with_client(ScriptedPipeline(lambda *_: [PlatformError(reason, "Why.", param="model")]), use)
    assert "Why." in error.message
    assert error.param == "model"


def test_a_broken_stream_raises_in_the_client():
    async def use(client):
        stream = await client.chat.completions.create(model="small", messages=HI, stream=True)
        got = []
        with pytest.raises(openai.APIError, match="lost"):
            got.extend([chunk async for chunk in stream])
        await stream.close()

    lost = PlatformError(Reason.STREAM_INTERRUPTED, "The worker was lost.")
    pipeline = ScriptedPipeline(lambda r, i: [[started(r, i), Delta(GenerateResponse(text="a"))], lost])
    with_client(pipeline, use)


def test_the_client_retries_when_told_to():
    tries = []

    def busy_once(request, request_id):
        tries.append(1)
        if len(tries) == 1:
            return [PlatformError(Reason.OVERLOADED, "Busy.", retry_after_seconds=0.01)]
        return text_script("ok")(request, request_id)

    async def use(client):
        return await client.chat.completions.create(model="small", messages=HI)

    assert with_client(ScriptedPipeline(busy_once), use, retries=1).choices[0].message.content == "ok"


def test_models():
    async def use(client):
        listed = [model.id async for model in client.models.list()]
        return listed, (await client.models.retrieve("small")).id

    assert with_client(ScriptedPipeline(), use) == (["small"], "small")
